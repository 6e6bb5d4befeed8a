"""The Python that runs, and the bindings of llama.cpp installed for it; none of them is imported."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from typing import Final

BINDINGS: Final[dict[str, str]] = {
    "llama-cpp-python": "ctypes",
    "llama_cpp_python_cuda": "ctypes",
    "llama-cpp-cffi": "CFFI, ABI mode",
    "xllamacpp": "Cython",
    "cyllama": "Cython",
    "pyllamacpp": "pybind11",
    "llamacpp": "pybind11",
    "gpt4all": "ctypes",
    "ctransformers": "ctypes",
    "easy-llama": "ctypes",
    "llamactl": "CFFI, API mode",
}
"""Distributions that load llama.cpp, and how they reach it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An installed binding.

    Attributes:
        name: Of the distribution.
        version: Of the distribution.
        interface: How it reaches llama.cpp.
        location: The folder it is installed in; None if unknown.
    """

    name: str
    version: str
    interface: str
    location: str | None


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter.

    Attributes:
        version: Such as ``3.13.1``.
        implementation: ``cpython`` and the like.
        executable: Its path.
        virtual_environment: The folder of it; None if it isn't in one.
        free_threaded: Built without the GIL.
        gil: Whether it is in force now.
        bindings: Of llama.cpp, installed for it.
    """

    version: str
    implementation: str
    executable: str
    virtual_environment: str | None
    free_threaded: bool
    gil: bool
    bindings: tuple[Binding, ...]


def python() -> Python:
    """Return what runs this."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return Python(
        version=".".join(map(str, sys.version_info[:3])),
        implementation=sys.implementation.name,
        executable=sys.executable,
        virtual_environment=sys.prefix if sys.prefix != sys.base_prefix else None,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        gil=is_enabled() if is_enabled else True,
        bindings=bindings(),
    )


def bindings() -> tuple[Binding, ...]:
    """Return the installed bindings, as their metadata names them."""
    found = []
    for name, interface in BINDINGS.items():
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        location = distribution.locate_file("")
        found.append(Binding(name, distribution.version, interface, str(location)))
    return tuple(found)
