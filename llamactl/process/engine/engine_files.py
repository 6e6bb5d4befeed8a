"""The engine's libraries in a process: which files, which version, from where, and why from there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from llamactl.process.elf import Elf
from llamactl.process.engine.libraries import engine_library

_FEATURES = (
    "sse3", "ssse3", "avx", "avx_vnni", "avx2", "avx512", "avx512_vbmi", "avx512_vnni", "avx512_bf16",
    "amx_int8", "bmi2", "fma", "f16c", "neon", "arm_fma", "dotprod", "matmul_int8", "sve", "sme", "vsx",
    "vxe", "riscv_v", "wasm_simd", "llamafile",
)  # fmt: skip
_SMALLEST_HIDDEN = 1 << 20
PREFIXES = (b"llama_", b"ggml_", b"gguf_", b"mtmd_", b"whisper_")
"""What the functions of llama.cpp, of ggml and of what else is built on it begin with."""
# What each would log or say before it aborts: there whether functions are exported or not.
_GGML = (b"GGML_ASSERT", b"not enough space in the context")
_HOLDS = ((b"loaded meta data with %d key-value", "llama.cpp"), (b"whisper_model_load", "whisper.cpp"))
_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/")


@dataclass(frozen=True, slots=True)
class EngineFile:
    """One library or program that holds a part of llama.cpp.

    ``kind`` is the library's name without ending (``libllama``) or ``static`` for an engine inside of
    anything else: an extension module, a library, a program. ``version`` and ``commit`` are what its
    functions return, None where the file doesn't tell. ``found_by`` says why it was loaded from there.
    ``holds`` is ``llama.cpp``, ``whisper.cpp``, or ``ggml`` for any other program on it. ``exported`` tells
    whether it exports functions of the engine; None where the file can't be read. Calls of what isn't
    exported can't be caught.
    """

    path: str
    kind: str
    build_id: str | None
    soname: str | None
    version: str | None
    commit: str | None
    cpu_features: tuple[str, ...] | None
    found_by: str
    holds: str
    exported: bool | None


def engine_files(
    libraries: Mapping[str, Elf | None],
    environment: Mapping[str, str] | None,
    owner: Callable[[str], object] = lambda _: None,
) -> list[EngineFile]:
    """Return what of the engine is among the mapped ELF files.

    Args:
        libraries: The mapped files by path; None for what couldn't be read.
        environment: What the process was started with, or None.
        owner: Returns the distribution that installed a file, if one did.
    """
    found = []
    for path, elf in sorted(libraries.items()):
        what = engine_in(PurePosixPath(path).name, elf)
        if what is not None:
            found.append(_describe(path, what, elf, libraries, environment, owner))
    return found


class EngineKind(NamedTuple):
    """What a file that holds an engine is; see :class:`EngineFile`."""

    kind: str
    holds: str
    exported: bool | None


def engine_in(name: str, elf: Elf | None) -> EngineKind | None:
    """Return what of an engine is in a file, None for nothing: what is in it decides, not its name.

    Args:
        name: The file's, without its folder; it decides where the file can't be read.
        elf: The file.
    """
    kind = engine_library(name)
    if elf is None:
        return EngineKind(kind, _holds(kind, None), None) if kind else None
    exported = elf.defines(PREFIXES)
    if exported and not kind:
        # Wrappers have functions with such names, too; the engine is what has these or speaks like it.
        kind = "static" if _is_engine(elf) else ""
    elif not exported:
        kind = "static" if _holds_ggml(elf) else ""
    return EngineKind(kind, _holds(kind, elf), exported) if kind else None


def _is_engine(elf: Elf) -> bool:
    told = ("llama_decode", "llama_eval", "whisper_full", "ggml_init", "ggml_backend_init")
    return any(elf.symbol(name) is not None for name in told) or _holds_ggml(elf)


def _holds_ggml(elf: Elf) -> bool:
    return len(elf.data) >= _SMALLEST_HIDDEN and all(elf.contains(mark) for mark in _GGML)


def _holds(kind: str, elf: Elf | None) -> str:
    if elf is None or kind.startswith("libggml"):
        return (
            "ggml" if kind.startswith("libggml") else "whisper.cpp" if kind == "libwhisper" else "llama.cpp"
        )
    if elf.symbol("llama_decode") is not None or elf.symbol("mtmd_tokenize") is not None:
        return "llama.cpp"
    if elf.symbol("whisper_full") is not None:
        return "whisper.cpp"
    return next((what for mark, what in _HOLDS if elf.contains(mark)), "ggml")


def _describe(
    path: str,
    what: EngineKind,
    elf: Elf | None,
    libraries: Mapping[str, Elf | None],
    environment: Mapping[str, str] | None,
    owner: Callable[[str], object],
) -> EngineFile:
    if elf is None:
        unread = "unknown: the file can't be read"
        return EngineFile(path, what.kind, None, None, None, None, None, unread, what.holds, what.exported)
    version = elf.returned_string("llama_version") or elf.returned_string("ggml_version")
    return EngineFile(
        path, what.kind, elf.build_id, elf.soname, version, elf.returned_string("ggml_commit"), _features(elf),
        why_there(path, elf, libraries, environment, owner), what.holds, what.exported,
    )  # fmt: skip


def _features(elf: Elf) -> tuple[str, ...] | None:
    """Return the CPU features that this build of the CPU backend uses: its functions return constants."""
    answers = {name: elf.returned_int(f"ggml_cpu_has_{name}") for name in _FEATURES}
    if all(value is None for value in answers.values()):
        return None
    return tuple(name for name, value in answers.items() if value)


def why_there(
    path: str,
    elf: Elf,
    libraries: Mapping[str, Elf | None],
    environment: Mapping[str, str] | None,
    owner: Callable[[str], object],
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
    return _opened_by_name(path, directory, environment, owner)


def _opened_by_name(
    path: str, directory: str, environment: Mapping[str, str] | None, owner: Callable[[str], object]
) -> str:
    for name, value in (environment or {}).items():
        # An empty directory in a variable means nothing here.
        if value and name != "PWD" and directory == os.path.normpath(value):
            return f"opened by its path, as {name} says"
    if path.startswith(_SYSTEM):
        return "a standard directory of the loader"
    if owner(path) is not None:
        return "opened by its path inside of a Python package"
    return "unknown; opened by its path, or already loaded under its name"


def _directories(text: str) -> list[str]:
    return [os.path.normpath(part) for part in text.replace(";", ":").split(":") if part]


def _expands_to(paths: Sequence[str], user: str, directory: str) -> bool:
    origin = os.path.dirname(user)  # noqa: PTH120
    expanded = (path.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin) for path in paths)
    return any(os.path.normpath(path) == directory for path in expanded if path)
