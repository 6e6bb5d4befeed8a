"""Which imported Python file declares the engine's functions for ctypes or CFFI's ABI mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from llamactl.process.engine.interfaces import Interface

_MOST_BYTES = 4 << 20
_MARKS = (b"llama_", b"ggml_", b"whisper_")
# One of these has to be there: a file that only speaks of llama_cpp declares nothing.
_DECLARED = (
    b"llama_decode", b"llama_eval", b"llama_backend_init", b"llama_model_load_from_file",
    b"llama_load_model_from_file", b"ggml_init", b"ggml_backend", b"whisper_full",
)  # fmt: skip
_INTERFACES = (
    (b"ctypes", Interface.CTYPES),
    (b"ffi.dlopen", Interface.CFFI_ABI),
    (b"cffi", Interface.CFFI_ABI),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file, through what it reaches C, and how often it names functions of the engine."""

    path: str
    interface: Interface
    names: int


def calling_sources(paths: Iterable[str], readable: Callable[[str], Path]) -> list[Source]:
    """Return the files that declare the engine's functions, the one that names most of them first.

    Args:
        paths: As the process has them.
        readable: Tells where we can read one of them.
    """
    found = []
    for path in paths:
        source = _read(path, readable(path))
        if source is not None:
            found.append(source)
    return sorted(found, key=lambda source: (-source.names, source.path))


def _read(path: str, place: Path) -> Source | None:
    try:
        with place.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError:
        return None
    interface = next((kind for mark, kind in _INTERFACES if mark in text), None)
    if interface is None or not any(mark in text for mark in _DECLARED):
        return None
    return Source(path, interface, sum(text.count(mark) for mark in _MARKS))
