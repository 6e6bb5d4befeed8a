"""How Python reaches C: the kinds of binding, and what the tools that make bindings leave in a file."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from llamactl.process.elf import Elf


class Interface(Enum):
    """How Python (or a program without it) gets to llama.cpp."""

    CTYPES = "ctypes"
    CFFI_ABI = "CFFI ABI"
    CFFI_API = "CFFI API"
    CYTHON = "Cython"
    PYBIND11 = "pybind11"
    NANOBIND = "nanobind"
    EXTENSION = "extension"
    NATIVE = "native"
    DLSYM = "dlopen"


_SHOWN = {
    Interface.CFFI_ABI: "CFFI, ABI mode",
    Interface.CFFI_API: "CFFI, API mode",
    Interface.EXTENSION: "extension module",
    Interface.NATIVE: "native program",
}
_EITHER = " or "


def shown(interface: str) -> str:
    """Return the words for people for the value of an interface, or of several."""
    parts = (Interface(part) for part in interface.split(_EITHER))
    return _EITHER.join(_SHOWN.get(part, part.value) for part in parts)


def either(interfaces: Collection[Interface]) -> str:
    """Return the value for what could be any of these."""
    return _EITHER.join(kind.value for kind in Interface if kind in interfaces)


MARKS = (
    (b"__pyx_capi__", Interface.CYTHON),
    (b"cython_runtime", Interface.CYTHON),
    (b"nanobind", Interface.NANOBIND),
    (b"pybind11_", Interface.PYBIND11),
    (b"_cffi_backend", Interface.CFFI_API),
)
"""Strings that these tools leave in every module they make."""

_LOOKS_UP = (("_ctypes.", Interface.CTYPES), ("_cffi_backend", Interface.CFFI_ABI))


def compiled_by(elf: Elf) -> tuple[Interface, str] | None:
    """Return the tool that made an extension module, and the string that shows it; None if none of these."""
    if not elf.exports_python():
        return None
    return next(((kind, mark.decode()) for mark, kind in MARKS if elf.contains(mark)), None)


def looks_up(name: str) -> Interface | None:
    """Return which interface opens libraries at run time in the module of this file name."""
    return next((kind for prefix, kind in _LOOKS_UP if name.startswith(prefix)), None)
