"""From options to what the rooms take. Imports the engine: call it inside a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llamactl.cli.run.options import ContextOptions, ModelOptions
from llamactl.engine import ContextParameters, ModelParameters
from llamactl.engine.parameters import MAX_THREADS, switch
from llamactl.errors import UsageError
from llamactl.process.cpu_budget import cpu_budget


def model_parameters(options: ModelOptions, **more: Any) -> ModelParameters:
    """Return how to load, from options.

    Args:
        options: The usual ones.
        more: Further fields, as :func:`llamactl.cli.run.engine_request.placement` makes them.
    """
    parameters = ModelParameters(
        load_mode=options.load_mode,
        n_gpu_layers=_gpu_layers(options.gpu_layers),
        split_mode=options.split_mode,
        main_gpu=options.main_gpu,
        check_tensors=options.check_tensors,
        **more,
    )
    parameters.native()
    return parameters


def _gpu_layers(text: str) -> int:
    if text in {"auto", "all"}:
        return -1
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--gpu-layers {text!r} is neither a number nor auto nor all") from None


def context_parameters(options: ContextOptions, **more: Any) -> ContextParameters:
    """Return sizes, threads and types, from options.

    Threads without a value, or below 1 as llama.cpp's programs take it, come from the CPU budget.

    Args:
        options: The usual ones.
        more: Further fields, as :func:`llamactl.cli.run.engine_request.rope` makes them.
    """
    for name, least in (
        ("ctx_size", 0),
        ("batch_size", 1),
        ("ubatch_size", 0),
        ("threads", -1),
        ("threads_batch", -1),
    ):
        value = getattr(options, name)
        if value is not None and not least <= value < 2**31:
            raise UsageError(f"--{name.replace('_', '-')} {value} is out of range", f"Use {least} or more.")
        if value is not None and name.startswith("threads") and value > MAX_THREADS:
            raise UsageError(
                f"--{name.replace('_', '-')} {value} is out of range", f"Use {MAX_THREADS} at most."
            )
    threads = max(options.threads or 0, 0) or cpu_budget().threads
    parameters = ContextParameters(
        n_ctx=options.ctx_size,
        n_batch=options.batch_size,
        n_ubatch=min(options.ubatch_size or options.batch_size, options.batch_size),
        n_threads=threads,
        n_threads_batch=max(options.threads_batch or 0, 0) or threads,
        type_k=options.cache_type_k,
        type_v=options.cache_type_v,
        flash_attention=switch(options.flash_attn),
        offload_kqv=options.kv_offload,
        **more,
    )
    parameters.native()
    return parameters


def read_text(path: str, option: str) -> str:
    """Return the text of a file named by an option.

    Raises:
        UsageError: It can't be read, or isn't UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{option} {path!r} can't be read: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} {path!r} isn't UTF-8 (byte {error.start})", "Convert it to UTF-8."
        ) from error
