"""The calls that were under way when a recording began, and those that still are when it ends.

No recorder sees a call that was entered before it looked and hasn't returned: a thread that hangs makes no record.
So ``/proc/PID/task/TID/syscall`` is read at both ends. A thread that stands in the same call at both, and whose
call didn't return in between, gets a record without entry and without exit, and what stands for longer than a
moment is told with the one at the other end (:mod:`llamactl.snapshot.process.standing`).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process.proc import ProcessDir
from llamactl.process.threads.last_ran import seconds_asleep
from llamactl.process.threads.threads import Reading, ThreadSample
from llamactl.process.threads.waiting import RESTARTED, Wait
from llamactl.snapshot.process.address_space import AddressSpace
from llamactl.snapshot.process.standing_facts import Standing
from llamactl.snapshot.process.thread_table import build_table
from llamactl.trace.capture.record import RECORD, UNKNOWN_CPU, Flag, Kind
from llamactl.trace.decode.table import arch_of, numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from llamactl.trace.record.session_types import SessionOptions
    from llamactl.trace.record.syscalls.base import Engine

MOST_PROCESSES = 8
"""More of a program's processes aren't looked at when it ends."""


@dataclass(frozen=True, slots=True)
class _Before:
    """A thread's call at the beginning, and for how long the thread hadn't run then."""

    wait: Wait
    asleep_s: float | None
    at_s: float


@dataclass(slots=True)
class UnderWay:
    """What is read at both ends; each part does nothing where a process can't be read."""

    machine: str
    standing: list[dict[str, Any]] | None = None
    """What stands, with its process, as the capture keeps it; None where nobody looked."""
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    """Requests without an answer at the end, with their processes."""
    roles: list[dict[str, Any]] = field(default_factory=list)
    """Whose the threads are that were there at the end, as ``inspect`` tells it."""
    _before: dict[int, _Before] = field(default_factory=dict)
    _begun_ns: int = 0
    _after: list[tuple[int, list[Reading]]] = field(default_factory=list)

    def begin(self, pid: int) -> None:
        """Read the calls under way in a process that is about to be recorded."""
        now = time.monotonic()
        for process, readings in _looked_at([pid], 0.0):
            for reading in readings:
                if reading.wait is not None:
                    asleep = seconds_asleep(process, reading.thread, reading.last_cpu)
                    self._before[reading.thread] = _Before(reading.wait, asleep, now)

    def begun(self, begin_ns: int) -> None:
        """Take the moment from which on everything was recorded."""
        self._begun_ns = begin_ns

    def saw(self, records: NDArray[np.void]) -> None:
        """Forget the threads whose call returned."""
        if self._before:
            returned = (records["kind"] == Kind.SYSCALL) & ((records["flags"] & int(Flag.NO_EXIT)) == 0)
            for thread in np.unique(records["tid"][returned]).tolist():
                self._before.pop(thread, None)

    def end(self, pids: Collection[int], options: SessionOptions, engine: Engine) -> NDArray[np.void]:
        """Read the calls still under way; return a record for each that was so all the time and isn't recorded."""
        parts = [np.zeros(0, RECORD)]
        for process, readings in _looked_at(sorted(pids)[:MOST_PROCESSES], 0.0):
            kept = [self._as_at_first(reading) for reading in readings]
            self._after.append((process.pid, kept))
            parts.append(self._records(process.pid, kept))
        records = np.concatenate(parts)
        if engine.enters_again:
            return records[:0]
        return (
            records if options.selection is None else records[np.isin(records["nr"], list(options.selection))]
        )

    def look(self) -> None:
        """Look who is at the other end of what stands."""
        found: list[dict[str, Any]] = []
        for pid, readings in self._after:
            try:
                with ProcessDir.open(pid) as process:
                    found += [{"process": pid, **one} for one in self._standing(process, readings)]
            except (OSError, LlamactlError):  # it has ended
                continue
        self.standing = found

    def _standing(self, process: ProcessDir, readings: list[Reading]) -> list[dict[str, Any]]:
        try:
            executable = process.link("exe")
            space = AddressSpace(process, executable, {reading.thread for reading in readings})
        except OSError:
            space = None
        try:
            table = build_table(process, readings, space, (), None, self._asleep)
        finally:
            if space is not None:
                space.memory.close()
        self.roles += [
            {"process": process.pid, "thread": one.reading.thread, "role": one.role, "evidence": one.evidence}
            for one in table.threads
        ]
        self.unanswered += [{"process": process.pid, **asdict(one)} for one in table.unanswered]
        return [asdict(self._marked(one)) for one in table.standing]

    def _marked(self, one: Standing) -> Standing:
        """Mark a time that is only that of the recording."""
        known = [self._before[thread].asleep_s for thread in one.threads if thread in self._before]
        return replace(one, at_least=True) if None in known else one

    def _asleep(self, process: ProcessDir, thread: int, cpu: int) -> float | None:
        before = self._before.get(thread)
        if before is None:
            return seconds_asleep(process, thread, cpu)
        return (before.asleep_s or 0.0) + time.monotonic() - before.at_s

    def _as_at_first(self, reading: Reading) -> Reading:
        """Return a reading with its first call where it is still in it; a stop gives some calls another name."""
        before = self._before.get(reading.thread)
        now = reading.wait
        if before is None or now is None or not _same(before.wait, now):
            self._before.pop(reading.thread, None)
            return reading
        return replace(reading, wait=before.wait)

    def _records(self, pid: int, readings: list[Reading]) -> NDArray[np.void]:
        arch = arch_of(self.machine)
        known = numbers(arch)
        still = [
            one for one in readings if one.thread in self._before and one.wait and one.wait.call in known
        ]
        records = np.zeros(len(still), RECORD)
        for record, reading in zip(records, still, strict=True):
            assert reading.wait is not None
            record["kind"], record["flags"] = Kind.SYSCALL, Flag.NO_ENTRY | Flag.NO_EXIT
            record["nr"], record["arch"], record["cpu"] = known[reading.wait.call], arch, UNKNOWN_CPU
            record["pid"], record["tid"], record["start"] = pid, reading.thread, self._begun_ns
            record["args"][: len(reading.wait.arguments)] = reading.wait.arguments
        return records


def _same(before: Wait, now: Wait) -> bool:
    return now.arguments == before.arguments and now.call in (before.call, RESTARTED)


def _looked_at(pids: Collection[int], sample_s: float) -> Iterator[tuple[ProcessDir, list[Reading]]]:
    for pid in pids:
        try:
            with ProcessDir.open(pid) as process:
                yield process, ThreadSample(process).finish(sample_s)
        except (OSError, LlamactlError):  # it has ended, or may not be read
            continue
