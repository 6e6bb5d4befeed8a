"""What passes between the program and llama.cpp's RPC workers: bytes and round trips, by call and by token.

A connection is a worker's if the program speaks ggml-rpc on it. Contents aren't recorded, but sizes are: each
command is sent as one byte, then the eight bytes of a length, then the rest (``send_rpc_cmd`` of ``ggml-rpc.cpp``).
The engine sends from threads of its own, so a transfer belongs to the call that was under way in its process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.attribution import OUTSIDE, woken_by
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.view import View, codes_of

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts

COMMAND_BYTES, LENGTH_BYTES = 1, 8
MOST_TRANSFERS = 1_000_000
"""More of them (100 MB) aren't kept, and nothing is told of workers then."""


@dataclass(frozen=True, slots=True)
class WorkerFunction:
    """One worker's share of a function of llama.cpp; ``name`` is None for what belongs to no call."""

    name: str | None
    sent_bytes: int
    received_bytes: int
    round_trips: int
    waited_ns: int


@dataclass(frozen=True, slots=True)
class WorkerToken:
    """What a generated token costs with one worker, on average over ``tokens`` of them."""

    tokens: int
    sent_bytes: float
    received_bytes: float
    round_trips: float
    waited_ns: float


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker.

    Attributes:
        name: Its address.
        count: System calls that sent or received.
        sent_bytes: To the worker.
        received_bytes: From the worker.
        round_trips: How often an answer was awaited after something was sent.
        waited_ns: In receiving calls.
        functions: By the call into llama.cpp it belongs to, those with most bytes first; empty where calls
            weren't recorded.
        token: Of one generated token; None where there are none, or several threads generate.
    """

    name: bytes
    count: int
    sent_bytes: int
    received_bytes: int
    round_trips: int
    waited_ns: int
    functions: tuple[WorkerFunction, ...]
    token: WorkerToken | None


@dataclass(frozen=True)
class _Transfers:
    """Calls on one name, ordered by process, descriptor and time."""

    records: NDArray[np.void]
    sends: NDArray[np.bool_]
    trips: NDArray[np.bool_]

    @property
    def figures(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Return bytes sent, bytes received, round trips and nanoseconds waited, by call."""
        size = np.maximum(self.records["ret"], 0)
        waited = np.where(self.sends, 0, self.records["duration"].astype(np.int64))
        sent, received = np.where(self.sends, size, 0), np.where(self.sends, 0, size)
        return sent, received, self.trips.astype(np.int64), waited


class WorkerTable:
    """Gathers what was sent and received on connections.

    Args:
        names: The numbers of names, as the descriptors' table hands them out.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._send = codes_of({"sendto"})
        self._receive = codes_of({"recvfrom"})
        self._records: list[NDArray[np.void]] = []
        self._name: list[IntArray] = []
        self._sends: list[NDArray[np.bool_]] = []
        self._count = 0

    def add(self, view: View, resolved: IntArray) -> None:
        """Take a piece.

        Args:
            view: The piece.
            resolved: What ``FdTable.resolve`` returned for it.
        """
        send = self._send[view.code]
        moves = (send | self._receive[view.code]) & (resolved != NO_NAME) & view.timed
        if self._count > MOST_TRANSFERS or not moves.any():
            return
        self._records.append(view.records[view.calls[moves]])
        self._name.append(resolved[moves])
        self._sends.append(send[moves])
        self._count += int(moves.sum())

    def rows(self, exchange: ExchangeFacts | None) -> list[WorkerRow]:
        """Return the workers, the busiest first."""
        if not self._records or self._count > MOST_TRANSFERS:
            return []
        records, name = np.concatenate(self._records), np.concatenate(self._name)
        sends = np.concatenate(self._sends)
        found = []
        for number in np.unique(name).tolist():
            mine = name == number
            transfers = _ordered(records[mine], sends[mine])
            if _speaks_rpc(transfers):
                found.append(_row(self._names.name(number), transfers, exchange))
        return sorted(found, key=lambda row: -(row.sent_bytes + row.received_bytes))


def _ordered(records: NDArray[np.void], sends: NDArray[np.bool_]) -> _Transfers:
    descriptor = records["args"][:, 0].astype(np.int64)
    order = np.lexsort((records["start"], descriptor, records["pid"]))
    records, sends, descriptor = records[order], sends[order], descriptor[order]
    same = np.zeros(len(records), dtype=bool)
    same[1:] = (descriptor[1:] == descriptor[:-1]) & (records["pid"][1:] == records["pid"][:-1])
    trips = np.zeros(len(records), dtype=bool)
    trips[1:] = same[1:] & sends[:-1] & ~sends[1:]
    return _Transfers(records, sends, trips)


def _speaks_rpc(transfers: _Transfers) -> bool:
    """Tell whether every single byte that is sent has the eight of a length sent right behind it."""
    size, sends = transfers.records["ret"], transfers.sends
    commands = np.flatnonzero(sends & (size == COMMAND_BYTES))
    commands = commands[commands + 1 < len(size)]
    if not len(commands):
        return False
    behind = commands + 1
    return bool((sends[behind] & (size[behind] == LENGTH_BYTES)).all())


def _row(name: bytes, transfers: _Transfers, exchange: ExchangeFacts | None) -> WorkerRow:
    sent, received, trips, waited = (int(values.sum()) for values in transfers.figures)
    return WorkerRow(
        name=name,
        count=len(transfers.records),
        sent_bytes=sent,
        received_bytes=received,
        round_trips=trips,
        waited_ns=waited,
        functions=() if exchange is None else _functions(transfers, exchange),
        token=None if exchange is None else _token(transfers, exchange),
    )


def _functions(transfers: _Transfers, facts: ExchangeFacts) -> tuple[WorkerFunction, ...]:
    exchange = facts.exchange
    owner = woken_by(exchange, transfers.records)
    inside = owner != OUTSIDE
    numbers = np.full(len(owner), OUTSIDE, np.int64)
    numbers[inside] = exchange.calls["nr"][owner[inside]]
    by_name: dict[str | None, list[int]] = {}
    for number in np.unique(numbers).tolist():
        name = None if number == OUTSIDE else exchange.functions[number].name
        sums = [int(values[numbers == number].sum()) for values in transfers.figures]
        before = by_name.get(name, [0, 0, 0, 0])
        by_name[name] = [one + other for one, other in zip(before, sums, strict=True)]
    rows = [WorkerFunction(name, *sums) for name, sums in by_name.items()]
    return tuple(sorted(rows, key=lambda row: (row.name is None, -(row.sent_bytes + row.received_bytes))))


def _token(transfers: _Transfers, facts: ExchangeFacts) -> WorkerToken | None:
    tokens = facts.tokens
    if not len(tokens) or len(np.unique(tokens.tid)) > 1:
        return None
    begin = np.sort(tokens.start)
    length = tokens.length_ns[np.argsort(tokens.start, kind="stable")]
    start = transfers.records["start"].astype(np.int64)
    place = np.searchsorted(begin, start, "right") - 1
    within = (place >= 0) & (start < begin[place] + length[place])
    means = [float(values[within].sum()) / len(tokens) for values in transfers.figures]
    return WorkerToken(len(tokens), *means)
