"""Who sent which signal to whom: from the calls that send, and from what the receiver was told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.view import View, codes_of, name_of

KEPT = 20_000
"""Signals and calls that are kept; later ones of a program that sends more aren't."""

_TARGET_AND_SIGNAL = {
    "kill": (0, 1), "tkill": (0, 1), "tgkill": (0, 2), "rt_sigqueueinfo": (0, 1), "rt_tgsigqueueinfo": (0, 2),
    "pidfd_send_signal": (0, 1),
}  # fmt: skip
"""Which arguments of a call are whom it is for and the signal (kill(2), tgkill(2), pidfd_send_signal(2))."""
_LOWEST, _HIGHEST = 1, 64


@dataclass(frozen=True, slots=True)
class Sent:
    """One call that sent a signal; ``target`` is a process or thread, or 0 and less for a group of processes."""

    moment_ns: int
    sender: int
    target: int
    signal: int


@dataclass(frozen=True, slots=True)
class Received:
    """One signal that a thread was given.

    Attributes:
        moment_ns: When.
        pid: The process.
        tid: The thread.
        signal: The signal.
        sender: The process that sent it; 0 where it was the kernel, or isn't known.
        code: ``si_code`` (sigaction(2)): above 0 it is the kernel's.
        address: Of a fault, what couldn't be used.
        instruction: Where the thread was; 0 where that wasn't kept.
    """

    moment_ns: int
    pid: int
    tid: int
    signal: int
    sender: int
    code: int
    address: int
    instruction: int


class SignalTable:
    """Collects both."""

    def __init__(self) -> None:
        self._sends = codes_of(_TARGET_AND_SIGNAL)
        self._opens = codes_of({"pidfd_open"})
        self._descriptors: dict[tuple[int, int], int] = {}
        self.sent: list[Sent] = []
        self.received: list[Received] = []

    def add(self, view: View) -> None:
        """Take a piece."""
        for record in view.of_kind(Kind.SIGNAL)[: max(KEPT - len(self.received), 0)]:
            args = record["args"].tolist()
            code = int(np.uint64(args[1]).astype(np.int64))
            self.received.append(Received(
                int(record["start"]), int(record["pid"]), int(record["tid"]), int(record["nr"]), args[0], code,
                args[2], args[3],
            ))  # fmt: skip
        for row in np.flatnonzero(self._opens[view.code] & (view.ret >= 0)).tolist():
            self._descriptors[int(view.pid[row]), int(view.ret[row])] = _signed(
                view.argument(0, np.array([row]))[0]
            )
        # A call that kills its own process never returns.
        rows = np.flatnonzero(self._sends[view.code] & ((view.ret == 0) | ~view.finished))
        for row in rows[: max(KEPT - len(self.sent), 0)].tolist():
            self._send(view, row)

    def _send(self, view: View, row: int) -> None:
        name = name_of(int(view.code[row]))
        target_at, signal_at = _TARGET_AND_SIGNAL[name]
        target, number = (_signed(view.argument(at, np.array([row]))[0]) for at in (target_at, signal_at))
        sender = int(view.pid[row])
        if name == "pidfd_send_signal":
            known = self._descriptors.get((sender, target))
            if known is None:
                return
            target = known
        if _LOWEST <= number <= _HIGHEST:
            self.sent.append(Sent(int(view.start[row]), sender, target, number))


def _signed(value: np.uint64) -> int:
    """Return an argument as the kernel reads it: an int of 32 bits."""
    return int(np.uint64(value).astype(np.uint32).astype(np.int32))
