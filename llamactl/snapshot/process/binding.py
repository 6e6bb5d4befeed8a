"""How Python reaches llama.cpp in a process: which binding, through which interface, with what proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llamactl.snapshot.process.elf import Elf
from llamactl.snapshot.process.engine_files import EngineFile
from llamactl.snapshot.process.libraries import library_role

# Packages that load the engine at run time, with the name of their distribution.
_RUNTIME_PACKAGES = (("llama_cpp", "llama_cpp_python"),)


@dataclass(frozen=True, slots=True)
class Binding:
    """The way from Python to the engine.

    ``interface`` is ``CFFI API``, ``CFFI ABI``, ``ctypes``, ``Cython``, ``extension``, ``native`` (a
    program without Python) or ``none``; where the mapped files leave two open it names both.
    """

    name: str
    interface: str
    version: str | None
    files: tuple[str, ...]
    evidence: str


def find_binding(
    libraries: Mapping[str, Elf | None],
    engine: Sequence[EngineFile],
    has_python: bool,
    site_packages: Iterable[Path],
) -> Binding:
    """Return the binding of a process.

    Args:
        libraries: The mapped ELF files by path.
        engine: Which of them hold the engine.
        has_python: Whether CPython is in the process.
        site_packages: Where its packages are, readable by us.
    """
    if not engine:
        return Binding("none", "none", None, (), "no library of llama.cpp is mapped")
    linked = _linked_extensions(libraries, engine)
    if linked:
        return _compiled(linked, libraries, site_packages)
    if not has_python:
        return Binding("none", "native", None, (), "the program uses the engine without Python")
    return _at_run_time(libraries, engine, list(site_packages))


def _linked_extensions(libraries: Mapping[str, Elf | None], engine: Sequence[EngineFile]) -> list[str]:
    """Return the extension modules that link the engine's libraries or contain the engine."""
    names = {PurePosixPath(file.path).name for file in engine} | {file.soname for file in engine}
    static = {file.path for file in engine if file.kind == "static"}
    return [
        path
        for path, elf in sorted(libraries.items())
        if elf is not None and elf.exports_python() and (path in static or names & set(elf.needed))
    ]


def _compiled(
    paths: Sequence[str], libraries: Mapping[str, Elf | None], site_packages: Iterable[Path]
) -> Binding:
    path = paths[0]
    name = PurePosixPath(path).name.split(".")[0]
    parts = PurePosixPath(path).parts
    package = parts[parts.index("llamactl")] if "llamactl" in parts else _package(path) or name
    elf = libraries[path]
    assert elf is not None
    if elf.contains(b"_cffi_f_llama_") or elf.contains(b"_cffi_backend"):
        interface, proof = "CFFI API", "compiled by CFFI"
    elif elf.contains(b"__pyx_"):
        interface, proof = "Cython", "compiled by Cython"
    else:
        interface, proof = "extension", "an extension module"
    version = _installed(site_packages, package)
    return Binding(package, interface, version, tuple(paths), f"{PurePosixPath(path).name} is {proof}")


def _package(path: str) -> str:
    for place in ("/site-packages/", "/dist-packages/"):
        if place in path:
            first = path.split(place, 1)[1].split("/", 1)[0]
            return first.split(".")[0]
    return ""


def _at_run_time(
    libraries: Mapping[str, Elf | None], engine: Sequence[EngineFile], site_packages: list[Path]
) -> Binding:
    """Tell a binding that opened the engine with dlopen: by the packages it could be and what is mapped."""
    names = {PurePosixPath(path).name.split(".")[0] for path in libraries}
    both = (("ctypes", "_ctypes"), ("CFFI ABI", "_cffi_backend"))
    interfaces = [text for text, module in both if module in names]
    interface = " or ".join(interfaces) or "dlopen"
    files = tuple(file.path for file in engine if library_role(PurePosixPath(file.path).name) == "engine")
    for package, distribution in _RUNTIME_PACKAGES:
        inside = any(f"/{package}/" in path for path in files)
        version = _installed(site_packages, distribution)
        if "ctypes" in interfaces and (inside or version):
            proof = (
                f"the engine is loaded from its package {package}"
                if inside
                else f"nothing links the engine, {' and '.join(interfaces)} loaded, {package} is installed"
            )
            return Binding(distribution.replace("_", "-"), "ctypes", version, files, proof)
    proof = "nothing in the process links the engine: it was opened by dlopen"
    return Binding("unknown", interface, None, files, proof)


def _installed(site_packages: Iterable[Path], package: str) -> str | None:
    """Return the version of a distribution from the name of its metadata directory."""
    for place in site_packages:
        for info in place.glob(f"{package}-*.dist-info"):
            return info.name.removesuffix(".dist-info").split("-", 1)[1]
    return None
