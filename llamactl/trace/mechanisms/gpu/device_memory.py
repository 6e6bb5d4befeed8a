"""Memory that a program took for a device: what it is, who asked for it, and what of it was left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.mechanisms.gpu.awaited import calls_around
from llamactl.trace.mechanisms.gpu.device_calls import DeviceCalls
from llamactl.trace.mechanisms.interface.exchange import Exchange

DEVICE, MANAGED, PINNED, REGISTERED = "device", "managed", "pinned", "registered"
ON_HOST = (PINNED, REGISTERED)
FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Allocations:
    """One row for each piece of memory that was taken.

    Attributes:
        row: Index of its call in the device's calls.
        kind: ``DEVICE``, ``MANAGED``, ``PINNED`` (the driver's memory on the host) or ``REGISTERED`` (the program's
            own, made such).
        address: Where it lies; Vulkan's and the driver's handles have no address.
        bytes: Its size.
        begin: From when on it is there, ns.
        end: Until when; ``FOREVER`` for what was never given back while recorded.
        pid: Whose it is.
    """

    row: IntArray
    kind: NDArray[np.str_]
    address: IntArray
    bytes: IntArray
    begin: IntArray
    end: IntArray
    pid: IntArray

    def __len__(self) -> int:
        return len(self.row)

    def holding(self, kinds: tuple[str, ...], addresses: IntArray, moments: IntArray, pids: IntArray) -> Mask:
        """Return which addresses lie in memory of these kinds at these moments."""
        found: Mask = np.zeros(len(addresses), dtype=bool)
        order = np.argsort(addresses, kind="stable")
        ranked = addresses[order]
        for index in np.flatnonzero(np.isin(self.kind, kinds)).tolist():
            low = np.searchsorted(ranked, self.address[index], "left")
            high = np.searchsorted(ranked, self.address[index] + self.bytes[index], "left")
            rows = order[low:high]
            alive = (moments[rows] >= self.begin[index]) & (moments[rows] < self.end[index])
            found[rows[alive & (pids[rows] == self.pid[index])]] = True
        return found

    def peak(self, kinds: tuple[str, ...]) -> int:
        """Return the most bytes of these kinds that were there at once."""
        mine = np.isin(self.kind, kinds)
        if not mine.any():
            return 0
        moments = np.concatenate([self.begin[mine], self.end[mine]])
        change = np.concatenate([self.bytes[mine], -self.bytes[mine]])
        # What is given back and taken at the same moment was never there twice.
        order = np.lexsort((change, moments))
        return int(np.cumsum(change[order]).max())


def find_allocations(calls: DeviceCalls) -> Allocations:
    """Return what was taken, with what gave it back."""
    taken = np.flatnonzero(calls.of_role("alloc") & calls.done)
    address = calls.argument("address")
    pid = calls.records["pid"].astype(np.int64)
    end = np.full(len(taken), FOREVER)
    given_back = np.flatnonzero((calls.role == "free") & calls.done)
    last: dict[tuple[int, int], int] = {}
    events = sorted(
        [*((int(row), index) for index, row in enumerate(taken)), *((int(row), -1) for row in given_back)]
    )
    for row, index in events:
        key = (int(pid[row]), int(address[row]))
        if index >= 0:
            last[key] = index
        elif key in last:
            end[last.pop(key)] = calls.start[row]
    kinds = np.char.partition(calls.role[taken], "-")[:, 2] if len(taken) else np.zeros(0, np.str_)
    return Allocations(
        row=taken,
        kind=kinds,
        address=address[taken],
        bytes=calls.bytes[taken],
        begin=calls.start[taken] + calls.ns[taken],
        end=end,
        pid=pid[taken],
    )


@dataclass(frozen=True, slots=True)
class DeviceTakenRow:
    """Memory of one kind that one library took in one call into llama.cpp.

    Attributes:
        name: The kind: "device", "managed", "pinned" or "registered".
        caller: The library that asked for it.
        within: The call into llama.cpp in which it did; None for outside of all.
        count: Pieces.
        bytes: Of all of them.
        largest_bytes: Of the largest.
        left_bytes: What was never given back while the program was recorded.
    """

    name: str
    caller: str
    within: str | None
    count: int
    bytes: int
    largest_bytes: int
    left_bytes: int


def memory_rows(calls: DeviceCalls, taken: Allocations, exchange: Exchange | None) -> list[DeviceTakenRow]:
    """Return what was taken by kind, library and call, the most bytes first."""
    within = _names_around(exchange, calls.records[taken.row])
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    for index, name in enumerate(within):
        caller = PurePath(calls.functions[int(calls.records["nr"][taken.row[index]])].caller).name
        groups.setdefault((str(taken.kind[index]), caller, name), []).append(index)
    rows = []
    for (kind, caller, name), members in groups.items():
        size = taken.bytes[members]
        left = int(size[taken.end[members] == FOREVER].sum())
        rows.append(DeviceTakenRow(kind, caller, name, len(members), int(size.sum()), int(size.max()), left))
    return sorted(rows, key=lambda row: (-row.bytes, row.name, row.caller))


def _names_around(exchange: Exchange | None, records: NDArray[np.void]) -> list[str | None]:
    """Return the name of the call into llama.cpp that each record lies in, None for none."""
    if exchange is None or not len(exchange.calls):
        return [None] * len(records)
    numbers = exchange.calls["nr"]
    return [
        exchange.functions[int(numbers[at])].name if at >= 0 else None
        for at in calls_around(exchange, records).tolist()
    ]
