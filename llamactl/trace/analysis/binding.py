"""Which binding a program uses, and what shows it."""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from llamactl.trace.agent.functions import Function
from llamactl.trace.analysis.exchange import Exchange

ENGINE_PREFIXES = ("llama_", "ggml_", "gguf_", "mtmd_")


class BindingKind(Enum):
    """How Python (or a program without it) gets to llama.cpp."""

    CTYPES = "ctypes"
    CFFI_ABI = "CFFI, ABI mode"
    CFFI_API = "CFFI, API mode"
    CYTHON = "Cython"
    PYBIND11 = "pybind11"
    NANOBIND = "nanobind"
    EXTENSION = "extension module"
    NATIVE = "native program"
    DLSYM = "dlsym"


@dataclass(frozen=True, slots=True)
class Binding:
    """One object that calls llama.cpp.

    Attributes:
        kind: How.
        caller: The object that calls.
        libraries: Where the functions are defined; the caller itself when llama.cpp is inside it.
        functions: How many functions it bound.
        calls: How many calls were recorded.
        evidence: What shows the kind.
    """

    kind: BindingKind
    caller: str
    libraries: tuple[str, ...]
    functions: int
    calls: int
    evidence: str


MARKS = (
    (b"_cffi_backend", BindingKind.CFFI_API),
    (b"pybind11_", BindingKind.PYBIND11),
    (b"nanobind", BindingKind.NANOBIND),
    (b"__pyx_capi__", BindingKind.CYTHON),
    (b"cython_runtime", BindingKind.CYTHON),
)
"""Strings that these tools leave in every module they make."""


def bindings(exchange: Exchange) -> list[Binding]:
    """Return the callers of llama.cpp, the busiest first."""
    callers: dict[tuple[str, str], list[Function]] = {}
    for function in exchange.functions:
        if function.name.startswith(ENGINE_PREFIXES):
            callers.setdefault((function.caller, function.via), []).append(function)
    numbers, counts = np.unique(exchange.calls["nr"], return_counts=True)
    calls: Counter[tuple[str, str]] = Counter()
    for nr, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        calls[(exchange.functions[nr].caller, exchange.functions[nr].via)] += count
    found = [_binding(caller, via, rows, calls[(caller, via)]) for (caller, via), rows in callers.items()]
    return sorted(found, key=lambda row: (-row.calls, row.caller))


def engine_copies(exchange: Exchange) -> list[str]:
    """Return the objects that define ``llama_*`` functions which were bound: more than one means copies."""
    return sorted({function.library for function in exchange.functions if function.name.startswith("llama_")})


def _binding(caller: str, via: str, functions: list[Function], calls: int) -> Binding:
    kind, evidence = _kind(caller, via)
    libraries = tuple(sorted({function.library for function in functions}))
    return Binding(kind, caller, libraries, len(functions), calls, evidence)


def _kind(caller: str, via: str) -> tuple[BindingKind, str]:
    name = Path(caller).name
    if via == "dlsym":
        if name.startswith("_ctypes."):
            return BindingKind.CTYPES, f"{name} looks the functions up with dlsym"
        if name.startswith("_cffi_backend"):
            return BindingKind.CFFI_ABI, f"{name} looks the functions up with dlsym"
        return BindingKind.DLSYM, f"{name} looks the functions up with dlsym"
    how = "has llama.cpp inside" if via == "inner" else "is linked to the library"
    mark = _mark(caller)
    if mark is not None:
        return mark[0], f"{name} {how}, and contains {mark[1]}"
    if via == "inner" or ".cpython-" in name or ".abi3." in name:
        return BindingKind.EXTENSION, f"{name} {how}"
    return BindingKind.NATIVE, f"{name} {how}"


def _mark(path: str) -> tuple[BindingKind, str] | None:
    """Look into the object's file for what the known tools leave there."""
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"PyInit_") < 0:
                return None
            return next(
                ((kind, f'"{mark.decode()}"') for mark, kind in MARKS if content.find(mark) >= 0), None
            )
    except (OSError, ValueError):
        return None
