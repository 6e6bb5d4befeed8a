"""The parts of a report that come from the model, the process and the machine."""

from __future__ import annotations

import platform
from pathlib import Path

import _cffi_backend

from llamactl import __version__
from llamactl.engine import Context, Model
from llamactl.engine import versions as engine_versions
from llamactl.run.device_memory import device_memory
from llamactl.run.report import Memory, ModelFacts, ModelMemory, Versions
from llamactl.snapshot.gguf.splits import files_of
from llamactl.snapshot.memory import ProcessMemory


def model_facts(model: Model) -> ModelFacts:
    """Return what the engine says of a model."""
    return ModelFacts(
        path=model.path,
        name=model.meta("general.name"),
        description=model.description,
        file_type=model.file_type,
        n_params=model.n_params,
        size_bytes=model.size_bytes,
        n_ctx_train=model.n_ctx_train,
    )


def memory_facts(path: Path, memory: ProcessMemory | None, context: Context) -> Memory:
    """Return what the kernel says of this process, and the engine of its buffers."""
    file_bytes = sum(Path(part).stat().st_size for part in files_of(str(path)))
    files = memory.files if memory else None
    return Memory(
        resident_bytes=memory.resident_bytes if memory else None,
        peak_resident_bytes=memory.peak_resident_bytes if memory else None,
        private_bytes=memory.private_bytes if memory else None,
        file_mapped_bytes=memory.file_mapped_bytes if memory else None,
        model=ModelMemory(
            file_bytes,
            files.mapped_bytes if files else None,
            files.resident_bytes if files else None,
            files.locked_bytes if files else None,
        ),
        buffers=context.memory(),
        devices=device_memory(context),
    )


def versions() -> Versions:
    """Return the versions of everything that takes part."""
    engine = engine_versions()
    return Versions(
        llamactl=__version__,
        llama=engine.llama,
        engine_commit=engine.commit,
        ggml=engine.ggml,
        cffi=_cffi_backend.__version__,
        python=platform.python_version(),
        kernel=platform.release(),
    )
