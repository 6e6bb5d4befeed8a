"""A process as it is right now, section by section; what fails is noted, the rest is still there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

from llamactl.process import proc_pid
from llamactl.process.answering import ASKER, silent_text
from llamactl.process.engine.abi import MODULES, AbiCheck, check_abi, engine_of_process, not_asked
from llamactl.process.engine.binding import REPEATED, Binding, Evidence, find_binding
from llamactl.process.engine.calling_source import calling_sources
from llamactl.process.engine.engine_files import EngineFile, engine_files
from llamactl.process.files import file_roles
from llamactl.process.files.files import OpenFile, read_files
from llamactl.process.identity import Identity, read_environment, read_identity
from llamactl.process.limits import Limits, read_limits
from llamactl.process.proc import Note, ProcessDir
from llamactl.process.python.distributions import owner_of
from llamactl.process.python.interpreter import find_program, why_not_asked
from llamactl.process.python.python import Python, find_python
from llamactl.process.python.python_sources import imported_sources
from llamactl.process.threads.threads import ThreadSample
from llamactl.snapshot.process.address_space import AddressSpace
from llamactl.snapshot.process.background import Background
from llamactl.snapshot.process.gpu_use import GpuUse, find_gpu_use
from llamactl.snapshot.process.mappings import Mapping as MemoryMapping
from llamactl.snapshot.process.memory import Memory, sum_memory
from llamactl.snapshot.process.model_files import read_magic
from llamactl.snapshot.process.thread_table import ThreadTable, build_table

SECTIONS = ("files", "mappings", "memory", "threads", "binding", "abi", "python", "gpu", "limits")
_NEED_ADDRESSES = frozenset({"mappings", "memory", "threads", "binding", "abi", "python", "gpu"})
_ENDED = "the process ended while it was read; what had been read until then is shown"

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """One process at one moment; a section that wasn't asked for or couldn't be read is None."""

    taken_s: float
    sections: tuple[str, ...]
    identity: Identity
    ended: bool
    files: tuple[OpenFile, ...] | None
    mappings: tuple[MemoryMapping, ...] | None
    memory: Memory | None
    threads: ThreadTable | None
    engine: tuple[EngineFile, ...] | None
    binding: Binding | None
    abi: AbiCheck | None
    python: Python | None
    gpu: GpuUse | None
    limits: Limits | None
    notes: tuple[Note, ...]


def inspect_process(
    pid: int,
    sections: Collection[str] = SECTIONS,
    interpreter: str | None = None,
    modules: Sequence[str] | None = None,
) -> ProcessSnapshot:
    """Look at a process without stopping it.

    Args:
        pid: Its number.
        sections: What to read, of :data:`SECTIONS`.
        interpreter: The Python to ask for the layout of structs; None for the process's own.
        modules: The binding's modules to ask; None for those that are known, if the process has imported one.

    Raises:
        UsageError: There is no such process.
    """
    with ProcessDir.open(pid) as process:
        return _Inspection(process, frozenset(sections)).run(interpreter, modules)


class _Inspection:
    """The parts that sections share, and the error handling around each of them."""

    def __init__(self, process: ProcessDir, sections: frozenset[str]) -> None:
        self.process = process
        self.sections = sections
        self.identity = read_identity(process)
        self.environment = read_environment(process)
        self.space: AddressSpace | None = None

    def run(self, interpreter: str | None, modules: Sequence[str] | None) -> ProcessSnapshot:
        needed = {"threads", *_NEED_ADDRESSES}
        sample = self._try("threads", lambda: ThreadSample(self.process), needed)
        reading = Background(lambda: self._try("files", self._files))
        if self.sections & _NEED_ADDRESSES:
            numbers = set(sample.numbers) if sample else set()
            self.space = self._try(
                "mappings",
                lambda: AddressSpace(self.process, self.identity.executable or "", numbers),
                needed=_NEED_ADDRESSES,
            )
        files = reading.result()
        self._add_open_models(files or ())
        python = self._try("python", self._python, needed={"python", "binding", "abi"})
        engine, binding = self._engine(python)
        mappings, memory = self._memory()
        threads = self._try("threads", lambda: self._threads(sample, engine))
        kinds = [file.kind for file in engine or ()]
        gpu = self._try("gpu", lambda: self._gpu(kinds, files))
        limits = self._try("limits", lambda: read_limits(self.process))
        abi = self._abi(python, binding, engine, interpreter, modules) if "abi" in self.sections else None
        if self.space:
            self.space.memory.close()
        self.process.notes += [Note("files", silent_text(one)) for one in ASKER.silent.values()]
        shown = self.sections
        return ProcessSnapshot(
            time.time(), tuple(name for name in SECTIONS if name in shown), self.identity, self._ended(),
            files, mappings if "mappings" in shown else None, memory if "memory" in shown else None, threads,
            tuple(engine) if engine is not None and "binding" in shown else None,
            binding if "binding" in shown else None, abi, python if "python" in shown else None,
            gpu, limits,
            tuple(dict.fromkeys(self.process.notes)),
        )  # fmt: skip

    def _try(self, section: str, read: Callable[[], Part], needed: Collection[str] = ()) -> Part | None:
        if not self.sections & frozenset(needed or {section}):
            return None
        try:
            return read()
        except OSError as error:
            self.process.refuse(section, error, section)
            return None

    def _ended(self) -> bool:
        ended = not self.process.alive()
        if ended:
            self.process.notes.append(Note("process", _ENDED))
        elif self.identity.state.startswith("ended"):
            self.process.notes.append(Note("process", "it has ended and waits for its parent to collect it"))
        return ended

    def _files(self) -> tuple[OpenFile, ...]:
        environment = self.environment or {}
        roles = file_roles.RoleFinder(
            magic=lambda fd: read_magic(proc_pid.place(self.process.pid, "fd", fd)),
            temporary=file_roles.temporary_places(environment),
            rpc_ports=file_roles.rpc_ports(self.identity.command, environment),
        )
        return tuple(read_files(self.process, roles))

    def _add_open_models(self, files: Sequence[OpenFile]) -> None:
        for entry in files if self.space else ():
            if entry.role == "model weights" and self.space:
                self.space.add_model(entry.target, str(proc_pid.place(self.process.pid, "fd", entry.fd)))

    def _memory(self) -> tuple[tuple[MemoryMapping, ...] | None, Memory | None]:
        space = self.space
        if space is None or not self.sections & {"mappings", "memory"}:
            return None, None
        for word in self.identity.command:
            if word.endswith(".gguf"):
                path = os.path.normpath(os.path.join(self.identity.working_directory or "/", word))  # noqa: PTH118
                readable = self.process.path(path)
                if readable.is_file():
                    space.add_model(path, str(readable))
        buffers = space.buffers()
        mappings = space.mappings(buffers)
        return tuple(mappings), sum_memory(self.process.pid, mappings, space.models(), buffers)

    def _python(self) -> Python | None:
        if self.space is None:
            return None
        identity = self.identity
        files = self.space.libraries()
        return find_python(self.process, identity.executable, identity.command, files, self.environment)

    def _engine(self, python: Python | None) -> tuple[list[EngineFile] | None, Binding | None]:
        if self.space is None:
            return None, None
        space = self.space
        libraries = space.libraries()
        owner = cache(lambda path: owner_of(path, self.process.path))
        engine = engine_files(libraries, self.environment, owner)
        space.mark_engine({file.path for file in engine})
        if not self.sections & {"binding", "abi"}:
            return engine, None
        evidence = Evidence(
            owner=owner,
            imported=lambda: imported_sources(space.memory, space.maps),
            callers=lambda paths: calling_sources(paths, self.process.path),
        )
        return engine, find_binding(libraries, engine, python is not None, evidence)

    def _threads(
        self, sample: ThreadSample | None, engine: Sequence[EngineFile] | None
    ) -> ThreadTable | None:
        if sample is None:
            return None
        readings = sample.finish()
        static = frozenset(file.path for file in engine or () if file.kind == "static")
        return build_table(self.process, readings, self.space, static, self.environment)

    def _gpu(self, kinds: Sequence[str], files: Sequence[OpenFile] | None) -> GpuUse:
        if files is None:
            opened = [(int(fd), self.process.link(f"fd/{fd}")) for fd in self.process.list("fd")]
        else:
            opened = [(entry.fd, entry.target) for entry in files]
        maps = self.space.maps if self.space else None
        sizes = [end - start for start, end in zip(maps.start, maps.end, strict=True)] if maps else []
        return find_gpu_use(
            self.process.pid, kinds, opened, zip(maps.path if maps else [], sizes, strict=True)
        )

    def _abi(
        self,
        python: Python | None,
        binding: Binding | None,
        engine: Sequence[EngineFile] | None,
        interpreter: str | None,
        modules: Sequence[str] | None,
    ) -> AbiCheck | None:
        mapped = engine_of_process(engine or ())
        if interpreter is not None:
            return check_abi(interpreter, self.environment, modules or MODULES, mapped)
        if binding is None or python is None or binding.interface not in REPEATED:
            return None
        interpreter = python.interpreter
        reason = self._why_not_asked(python, binding, modules)
        if interpreter is None or reason:
            return not_asked(interpreter or python.library, reason, mapped)
        found = check_abi(interpreter, self.environment, modules or MODULES, mapped)
        owner = owner_of(found.library, self.process.path) if found.library else None
        return replace(found, own_engine=owner is not None and owner.name == binding.name)

    def _why_not_asked(self, python: Python, binding: Binding, modules: Sequence[str] | None) -> str:
        if python.interpreter is None or self.space is None:
            return f"{self.identity.executable or 'the program'} is no Python interpreter"
        if modules is None and not any(_is_source(binding.source, module) for module in MODULES):
            return "none of its modules is known to repeat llama.cpp's structs; --binding MODULE names one"
        program = find_program(self.identity.executable, self.space.libraries())
        reason = why_not_asked(self.process, python.interpreter, self.space.readable(program or ""))
        if not reason and self.identity.uid != os.geteuid():
            reason = f"it would run {python.interpreter} of {self.identity.user} as another user"
        return reason


def _is_source(source: str | None, module: str) -> bool:
    return source is not None and source.endswith("/" + module.replace(".", "/") + ".py")
