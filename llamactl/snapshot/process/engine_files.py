"""The engine's libraries in a process: which files, which version, from where, and why from there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from llamactl.snapshot.process.elf import Elf
from llamactl.snapshot.process.libraries import is_python, library_role

_FEATURES = (
    "sse3", "ssse3", "avx", "avx_vnni", "avx2", "avx512", "avx512_vbmi", "avx512_vnni", "avx512_bf16",
    "amx_int8", "bmi2", "fma", "f16c", "neon", "arm_fma", "dotprod", "matmul_int8", "sve", "sme", "vsx",
    "vxe", "riscv_v", "wasm_simd", "llamafile",
)  # fmt: skip
_SMALLEST_ENGINE = 1 << 20
_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/")


@dataclass(frozen=True, slots=True)
class EngineFile:
    """One library or program that holds a part of llama.cpp.

    ``kind`` is the library's name without ending (``libllama``) or ``static`` for llama.cpp inside of an
    extension module or program. ``version`` and ``commit`` are what its functions return, None where the
    file doesn't tell. ``found_by`` says why it was loaded from there.
    """

    path: str
    kind: str
    build_id: str | None
    soname: str | None
    version: str | None
    commit: str | None
    cpu_features: tuple[str, ...] | None
    found_by: str


def engine_files(
    libraries: Mapping[str, Elf | None], environment: Mapping[str, str] | None
) -> list[EngineFile]:
    """Return what of the engine is among the mapped ELF files.

    Args:
        libraries: The mapped files by path; None for what couldn't be read.
        environment: What the process was started with, or None.
    """
    found = []
    for path, elf in sorted(libraries.items()):
        name = PurePosixPath(path).name
        kind = name.split(".so")[0] if library_role(name) == "engine" else ""
        # CPython itself has modules built in, like an extension, and nothing of the engine.
        python = library_role(name) == "python" or is_python(name)
        if not kind and elf is not None and not python and _holds_engine(elf):
            kind = "static"
        if kind:
            found.append(_describe(path, kind, elf, libraries, environment))
    return found


def _holds_engine(elf: Elf) -> bool:
    """Tell whether a file contains llama.cpp itself: by a function it exports or a line it would log."""
    if elf.symbol("llama_decode") is not None:
        return True
    large = len(elf.data) >= _SMALLEST_ENGINE
    return large and elf.exports_python() and elf.contains(b"llama_model_loader: loaded meta data")


def _describe(
    path: str,
    kind: str,
    elf: Elf | None,
    libraries: Mapping[str, Elf | None],
    environment: Mapping[str, str] | None,
) -> EngineFile:
    if elf is None:
        return EngineFile(path, kind, None, None, None, None, None, "unknown: the file can't be read")
    version = elf.returned_string("llama_version") or elf.returned_string("ggml_version")
    return EngineFile(
        path, kind, elf.build_id, elf.soname, version, elf.returned_string("ggml_commit"), _features(elf),
        why_there(path, elf, libraries, environment),
    )  # fmt: skip


def _features(elf: Elf) -> tuple[str, ...] | None:
    """Return the CPU features that this build of the CPU backend uses: its functions return constants."""
    answers = {name: elf.returned_int(f"ggml_cpu_has_{name}") for name in _FEATURES}
    if all(value is None for value in answers.values()):
        return None
    return tuple(name for name, value in answers.items() if value)


def why_there(
    path: str, elf: Elf, libraries: Mapping[str, Elf | None], environment: Mapping[str, str] | None
) -> str:
    """Return the reason for which a library was taken from its directory, in the order of ld.so(8)."""
    directory = os.path.dirname(path)  # noqa: PTH120 - of another process, maybe not there for us
    names = {PurePosixPath(path).name, elf.soname}
    users = [(user, other) for user, other in libraries.items() if other and names & set(other.needed)]
    for user, other in users:
        if not other.runpath and _expands_to(other.rpath, user, directory):
            return f"RPATH of {PurePosixPath(user).name}"
    if environment is not None and directory in _directories(environment.get("LD_LIBRARY_PATH", "")):
        return "LD_LIBRARY_PATH"
    for user, other in users:
        if _expands_to(other.runpath, user, directory):
            return f"RUNPATH of {PurePosixPath(user).name}"
    return _opened_by_name(path, directory, environment)


def _opened_by_name(path: str, directory: str, environment: Mapping[str, str] | None) -> str:
    for name, value in (environment or {}).items():
        # An empty directory in a variable means nothing here.
        if value and name != "PWD" and directory == os.path.normpath(value):
            return f"opened by its path, as {name} says"
    if path.startswith(_SYSTEM):
        return "a standard directory of the loader"
    if "/site-packages/" in path or "/dist-packages/" in path:
        return "opened by its path inside of a Python package"
    return "unknown; opened by its path, or already loaded under its name"


def _directories(text: str) -> list[str]:
    return [os.path.normpath(part) for part in text.replace(";", ":").split(":") if part]


def _expands_to(paths: Sequence[str], user: str, directory: str) -> bool:
    origin = os.path.dirname(user)  # noqa: PTH120
    expanded = (path.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin) for path in paths)
    return any(os.path.normpath(path) == directory for path in expanded if path)
