"""How often each call's work was done, and which way its bytes went.

A launch is one kernel; a launched graph is as many as were captured into it. What a library of linear algebra launches
for one of its calls isn't known: its calls are counted by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.mechanisms.gpu.device_calls import (
    BETWEEN,
    DIRECTIONS,
    IN,
    KINDS,
    ON,
    OUT,
    UNSURE,
    DeviceCalls,
)
from llamactl.trace.mechanisms.gpu.device_memory import DEVICE, MANAGED, ON_HOST, Allocations

BY_ROLE = {"copy-in": IN, "copy-out": OUT, "copy-on": ON, "copy-between": BETWEEN}


@dataclass
class Graph:
    """What was captured into a graph."""

    kernels: int = 0
    library: int = 0
    on_bytes: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


@dataclass(frozen=True)
class Work:
    """What each call made the device do, by call; of a launched graph all that was captured into it.

    Attributes:
        kernels: Kernels.
        library: Calls of a library of linear algebra: at least a kernel each.
        moved: Bytes by direction.
        pinned: Of a copy between host and device: 1 from or to pinned memory, 0 pageable, -1 not known.
        unknown_graphs: Launches of graphs whose making wasn't seen.
    """

    kernels: IntArray
    library: IntArray
    moved: dict[str, IntArray]
    pinned: IntArray
    unknown_graphs: Mask
    graphs: dict[int, Graph] = field(default_factory=dict)


def find_work(calls: DeviceCalls, taken: Allocations) -> Work:
    """Return what each call made the device do."""
    copies = calls.of_role("copy") & calls.done
    to, source = calls.argument("to"), calls.argument("from")
    direction = directions(calls, taken, copies, to, source)
    direct = copies & ~calls.captured
    moved = {name: np.where(direct & (direction == name), calls.bytes, 0) for name in DIRECTIONS}
    launched = calls.done & ~calls.captured
    kernels = ((calls.role == "launch") & launched).astype(np.int64)
    library = ((calls.role == "launch-library") & launched).astype(np.int64)
    unknown = np.zeros(len(calls.records), dtype=bool)
    for row, graph in graphs_launched(calls, direction):
        if graph is None:
            unknown[row] = True
            continue
        kernels[row], library[row] = graph.kernels, graph.library
        moved[ON][row], moved[IN][row], moved[OUT][row] = graph.on_bytes, graph.in_bytes, graph.out_bytes
    return Work(kernels, library, moved, _pinned(calls, taken, copies, direction, to, source), unknown)


def directions(
    calls: DeviceCalls, taken: Allocations, copies: Mask, to: IntArray, source: IntArray
) -> NDArray[np.str_]:
    """Return which way each copy goes: as its function says, else by where its two ends lie."""
    found = np.full(len(calls.records), UNSURE, dtype="<U8")
    for role, name in BY_ROLE.items():
        found[calls.role == role] = name
    kind = calls.argument("kind", -1)
    for number, name in KINDS.items():
        found[(calls.role == "copy") & (kind == number)] = name
    # Vulkan's buffers are handles, which lie nowhere.
    handles = np.array([function.name.startswith("vk") for function in calls.functions], dtype=bool)
    known = copies & calls.complete & ~handles[calls.records["nr"]]
    rows = np.flatnonzero(known & (found == UNSURE) & (to != 0) & (source != 0))
    if len(rows):
        moments, pids = calls.start[rows], calls.records["pid"][rows].astype(np.int64)
        there = taken.holding((DEVICE, MANAGED), to[rows], moments, pids)
        here = taken.holding((DEVICE, MANAGED), source[rows], moments, pids)
        names = np.where(there & here, ON, np.where(there, IN, np.where(here, OUT, UNSURE)))
        found[rows] = names
    return found


def graphs_launched(calls: DeviceCalls, direction: NDArray[np.str_]) -> list[tuple[int, Graph | None]]:
    """Return the launches of graphs with what was captured into each, None where that wasn't seen."""
    roles, done = calls.role, calls.done
    rows = np.flatnonzero(np.isin(roles, ("capture", "captured", "graph", "launch-graph")) | calls.captured)
    graph, executable = calls.argument("graph"), calls.argument("executable")
    pid, tid, size = calls.records["pid"], calls.records["tid"], calls.bytes
    filling: dict[int, Graph] = {}
    captured: dict[tuple[int, int], Graph] = {}
    ready: dict[tuple[int, int], Graph] = {}
    found: list[tuple[int, Graph | None]] = []
    for row in rows.tolist():
        role, who, thread = str(roles[row]), int(pid[row]), int(tid[row])
        if role == "capture":
            filling[thread] = Graph()
        elif role == "captured":
            captured[who, int(graph[row])] = filling.pop(thread, Graph())
        elif role == "graph":
            known = captured.get((who, int(graph[row])))
            if done[row] and known is not None:
                ready[who, int(executable[row])] = known
        elif role == "launch-graph":
            found.append((row, ready.get((who, int(executable[row]))) if done[row] else None))
        elif thread in filling:
            _capture(filling[thread], role, str(direction[row]), int(size[row]))
    return found


def _capture(graph: Graph, role: str, direction: str, size: int) -> None:
    if role == "launch":
        graph.kernels += 1
    elif role == "launch-library":
        graph.library += 1
    elif direction == ON:
        graph.on_bytes += size
    elif direction == IN:
        graph.in_bytes += size
    elif direction == OUT:
        graph.out_bytes += size


def _pinned(
    calls: DeviceCalls,
    taken: Allocations,
    copies: Mask,
    direction: NDArray[np.str_],
    to: IntArray,
    source: IntArray,
) -> IntArray:
    """Return whether the host's end of each copy is pinned; -1 where it isn't known, or there is none."""
    found = np.full(len(calls.records), -1, np.int64)
    rows = np.flatnonzero(copies & ((direction == IN) | (direction == OUT)) & ((to != 0) | (source != 0)))
    if not len(rows) or not calls.complete:
        return found
    host = np.where(direction[rows] == IN, source[rows], to[rows])
    pids = calls.records["pid"][rows].astype(np.int64)
    found[rows] = taken.holding(ON_HOST, host, calls.start[rows], pids)
    return found
