"""Which binding a program uses, and what shows it: the same words as ``inspect`` has for a process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from llamactl.process.elf import Elf, read_elf
from llamactl.process.engine.interfaces import Interface, compiled_by, looks_up
from llamactl.process.python.distributions import Distribution, owner_of
from llamactl.trace.capture.functions import Function
from llamactl.trace.mechanisms.gil.gil import RELEASED
from llamactl.trace.mechanisms.interface.exchange import AMONG_ENGINE, Exchange

ENGINE_PREFIXES = ("llama_", "ggml_", "gguf_", "mtmd_", "whisper_")
BindingKind = Interface
SAMPLE = 50
PLACES = 32
"""More places than this aren't looked at: the busiest tell whose code it is."""


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
        inside: Whether llama.cpp is compiled into the caller; its calls are then no crossings from Python.
        name: The distribution that installed the caller or, where Python looks the functions up, the code
            that calls; None when it belongs to none.
        version: Of the distribution.
    """

    kind: BindingKind
    caller: str
    libraries: tuple[str, ...]
    functions: int
    calls: int
    evidence: str
    inside: bool = False
    name: str | None = None
    version: str | None = None


def bindings(exchange: Exchange, told: dict[str, Any] | None = None) -> list[Binding]:
    """Return the callers of llama.cpp, the busiest first.

    Args:
        exchange: The records.
        told: Name, version and interface of the binding of a process whose calls have no Python lines.
    """
    callers: dict[tuple[str, str], list[Function]] = {}
    for function in exchange.functions:
        if function.name.startswith(ENGINE_PREFIXES) and function.via != AMONG_ENGINE:
            callers.setdefault((function.caller, function.via), []).append(function)
    numbers, counts = np.unique(exchange.calls["nr"], return_counts=True)
    calls: Counter[tuple[str, str]] = Counter()
    for nr, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        calls[(exchange.functions[nr].caller, exchange.functions[nr].via)] += count
    owner = cache(owner_of)
    found = []
    for (caller, via), rows in callers.items():
        files = _python_files(exchange, caller, via) if via == "dlsym" else [caller]
        owners = (owner(path) for path in files if path.startswith("/"))
        who = next(filter(None, owners), None)
        found.append(_told(_binding(exchange, caller, via, rows, calls[(caller, via)], who), told))
    return sorted(found, key=lambda row: (-row.calls, row.caller))


def engine_copies(exchange: Exchange) -> list[str]:
    """Return the objects that define ``llama_*`` functions which were bound: more than one means copies."""
    return sorted({function.library for function in exchange.functions if function.name.startswith("llama_")})


def _told(binding: Binding, told: dict[str, Any] | None) -> Binding:
    if binding.name is not None or not told or told.get("interface") != binding.kind.value:
        return binding
    return replace(binding, name=told.get("name"), version=told.get("version"))


def _python_files(exchange: Exchange, caller: str, via: str) -> Iterable[str]:
    """Return the files of the Python code that called through this object, the busiest first."""
    mine = [nr for nr, row in enumerate(exchange.functions) if (row.caller, row.via) == (caller, via)]
    calls = exchange.calls[np.isin(exchange.calls["nr"], mine)]
    references, counts = np.unique(calls["text2"][calls["text2"] != 0], return_counts=True)
    busiest = references[np.argsort(-counts, kind="stable")][:PLACES]
    places = (exchange.place(int(reference)) for reference in busiest)
    return dict.fromkeys(place[0] for place in places if place is not None)


def _binding(
    exchange: Exchange,
    caller: str,
    via: str,
    functions: list[Function],
    calls: int,
    owner: Distribution | None,
) -> Binding:
    kind, evidence = _kind(caller, via)
    releaser = _releaser(exchange, caller) if via == "inner" and kind is BindingKind.NATIVE else None
    if releaser is not None:
        # A library between Python and the engine: whoever lets the GIL go for these calls is the interface.
        between = Path(releaser).name
        kind = looks_up(between) or _kind(releaser, "plt")[0]
        evidence += f", and {between} lets the GIL go for its calls"
    libraries = tuple(sorted({function.library for function in functions}))
    name, version = (owner.name, owner.version) if owner else (None, None)
    inside = via == "inner"
    return Binding(kind, caller, libraries, len(functions), calls, evidence, inside, name, version)


def _releaser(exchange: Exchange, caller: str) -> str | None:
    """Return the object that had let the GIL go when this one called, for most of a sample of its calls."""
    mine = [nr for nr, row in enumerate(exchange.functions) if row.caller == caller and row.via == "inner"]
    calls = exchange.calls[np.isin(exchange.calls["nr"], mine)]
    free = exchange.gil[exchange.gil["nr"] == RELEASED]
    found: Counter[str] = Counter()
    for call in calls[:: max(len(calls) // SAMPLE, 1)]:
        own = free[(free["tid"] == call["tid"]) & (free["start"] <= call["start"])]
        if len(own) and int(own[-1]["start"]) + int(own[-1]["duration"]) >= int(call["start"]):
            found[exchange.functions[int(own[-1]["args"][1])].caller] += 1
    return found.most_common(1)[0][0] if found else None


def _kind(caller: str, via: str) -> tuple[BindingKind, str]:
    name = Path(caller).name
    if via == "dlsym":
        return looks_up(name) or BindingKind.DLSYM, f"{name} looks the functions up with dlsym"
    how = "has llama.cpp inside" if via == "inner" else "is linked to the library"
    elf = _read(caller)
    mark = compiled_by(elf) if elf is not None else None
    if mark is not None:
        return mark[0], f'{name} {how}, and contains "{mark[1]}"'
    if elf.exports_python() if elf is not None else ".cpython-" in name or ".abi3." in name:
        return BindingKind.EXTENSION, f"{name} {how}"
    return BindingKind.NATIVE, f"{name} {how}"


def _read(path: str) -> Elf | None:
    try:
        return read_elf(Path(path))
    except OSError:
        return None
