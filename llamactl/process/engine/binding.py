"""How Python reaches the engine in a process: which binding, through which interface, with what proof.

The proof is what the process has mapped and imported, and what the RECORD of an installed distribution says
of those files. What is merely installed proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from llamactl.process.elf import Elf
from llamactl.process.engine.calling_source import Source
from llamactl.process.engine.engine_files import EngineFile
from llamactl.process.engine.interfaces import Interface, compiled_by, either, looks_up
from llamactl.process.python.distributions import Distribution

NONE = "none"
UNKNOWN = "unknown"
OWN = "own code"
_BY_HAND = (Interface.CTYPES, Interface.CFFI_ABI)
REPEATED = (*(kind.value for kind in _BY_HAND), either(_BY_HAND))
"""Interfaces whose bindings repeat llama.cpp's structs by hand."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The way from Python to the engine.

    Attributes:
        name: Of the distribution; ``own code`` for Python files that no distribution installed, ``none``
            without Python or engine, else ``unknown``.
        interface: A value of :class:`Interface` (``native`` is a program without Python) or ``none``;
            where the mapped files leave two open it names both.
        version: Of the distribution.
        files: What calls: extension modules; for what was opened at run time, the engine's files.
        evidence: What shows it.
        source: The Python file that declares the engine's functions, of ctypes and CFFI's ABI mode.
    """

    name: str
    interface: str
    version: str | None
    files: tuple[str, ...]
    evidence: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What can be asked beyond the mapped files.

    Attributes:
        owner: Returns the distribution that installed a file.
        imported: Returns the Python files that the process has imported; None where its memory can't be read.
        callers: Returns those of the files that declare the engine's functions, the most telling one first.
    """

    owner: Callable[[str], Distribution | None]
    imported: Callable[[], frozenset[str] | None]
    callers: Callable[[Iterable[str]], Sequence[Source]]


def find_binding(
    libraries: Mapping[str, Elf | None], engine: Sequence[EngineFile], has_python: bool, evidence: Evidence
) -> Binding:
    """Return the binding of a process.

    Args:
        libraries: The mapped ELF files by path.
        engine: Which of them hold the engine.
        has_python: Whether CPython is in the process.
        evidence: What else can be asked.
    """
    if not engine:
        return Binding(NONE, NONE, None, (), "no library of llama.cpp is mapped")
    linked = _linked_extensions(libraries, engine)
    if linked:
        return _compiled(linked, libraries, evidence)
    if not has_python:
        return Binding(NONE, Interface.NATIVE.value, None, (), "the program uses the engine without Python")
    return _at_run_time(libraries, engine, evidence)


def _linked_extensions(libraries: Mapping[str, Elf | None], engine: Sequence[EngineFile]) -> list[str]:
    """Return the extension modules that contain the engine or link it, be it through another library."""
    names = {PurePosixPath(file.path).name for file in engine} | {file.soname for file in engine}
    own = {file.path for file in engine}
    known = {path: elf for path, elf in libraries.items() if elf is not None}
    found: list[str] = []
    while True:
        users = [
            path
            for path, elf in known.items()
            if path not in own and path not in found and names & set(elf.needed)
        ]
        if not users:
            break
        found += users
        names |= {PurePosixPath(path).name for path in users if not known[path].exports_python()}
    static = [file.path for file in engine if file.kind == "static" and file.path in known]
    modules = [path for path in (*static, *sorted(found)) if known[path].exports_python()]
    programs = {path for path in modules if known[path].symbol("Py_BytesMain") is not None}
    return [path for path in modules if path not in programs]


def _compiled(paths: Sequence[str], libraries: Mapping[str, Elf | None], evidence: Evidence) -> Binding:
    path = paths[0]
    elf = libraries[path]
    assert elf is not None
    name = PurePosixPath(path).name
    found = compiled_by(elf)
    kind, proof = (Interface.EXTENSION, "an extension module")
    if found is not None:
        kind, proof = found[0], f"an extension module that contains {found[1]}"
    owner = evidence.owner(path)
    if owner is None:
        return Binding(name.split(".")[0], kind.value, None, tuple(paths), f"{name} is {proof}")
    shown = f"{name} is {proof}; {owner.name} installed it"
    return Binding(owner.name, kind.value, owner.version, tuple(paths), shown)


def _at_run_time(
    libraries: Mapping[str, Elf | None], engine: Sequence[EngineFile], evidence: Evidence
) -> Binding:
    """Tell a binding that opened the engine with dlopen: by the Python that it imported, and whose files these are."""
    mapped = {kind for path in libraries if (kind := looks_up(PurePosixPath(path).name))}
    interface = either(mapped) or Interface.DLSYM.value
    files = tuple(file.path for file in engine)
    imported = evidence.imported()
    carrier = next(filter(None, (evidence.owner(path) for path in files)), None)
    for source in evidence.callers(imported or ()):
        through = source.interface.value
        owner = evidence.owner(source.path)
        name = PurePosixPath(source.path).name
        if owner is None:
            proof = f"{source.path} is loaded and names the engine's functions"
            return Binding(OWN, through, None, files, proof, source.path)
        proof = f"{name} of {owner.name} is imported and names the engine's functions"
        return Binding(owner.name, through, owner.version, files, proof, source.path)
    if carrier is not None and (imported is None or _has_imported(carrier, imported, evidence)):
        proof = f"{carrier.name} installed {PurePosixPath(files[0]).name}"
        proof += "; what is imported can't be read" if imported is None else " and is imported"
        return Binding(carrier.name, interface, carrier.version, files, proof)
    proof = "nothing in the process links the engine: it was opened by dlopen"
    if carrier is not None:
        proof += f"; {carrier.name}, which installed it, isn't imported"
    return Binding(UNKNOWN, interface, None, files, proof)


def _has_imported(carrier: Distribution, imported: Iterable[str], evidence: Evidence) -> bool:
    inside = (path for path in sorted(imported) if path.startswith(carrier.place + "/"))
    tops: dict[str, bool] = {}
    for path in inside:
        top = path[len(carrier.place) + 1 :].partition("/")[0]
        if top not in tops:
            owner = evidence.owner(path)
            tops[top] = owner is not None and owner.name == carrier.name
        if tops[top]:
            return True
    return False
