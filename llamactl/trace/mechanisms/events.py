"""One event after the other, decoded: what the log and the exports are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import Flag, Kind, Task
from llamactl.trace.decode.decode import CallDecoder, RawCall
from llamactl.trace.decode.filters import Selection
from llamactl.trace.decode.signals import signal_name
from llamactl.trace.decode.values import Decoded
from llamactl.trace.mechanisms.files.fds import FdTable
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.order import Timeline
from llamactl.trace.mechanisms.phases import Phases, find_phases
from llamactl.trace.mechanisms.sched_events import sched_event
from llamactl.trace.mechanisms.select import PostFilter
from llamactl.trace.mechanisms.threads.threads import find_threads
from llamactl.trace.mechanisms.view import EXIT_CALLS, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llamactl.trace.capture.reader import Capture


GIL_NAMES = ("GIL released", "GIL waited for", "Python called back")


@dataclass(frozen=True, slots=True)
class Event:
    """One record, readable.

    Attributes:
        kind: What it tells.
        start_ns: CLOCK_MONOTONIC.
        duration_ns: None where it has none, or nothing is known of it.
        phase: The phase it belongs to; None outside all phases.
        name: The system call, signal, function, counter, phase or what a thread did.
        call: The decoded call of a SYSCALL event.
        path: What the call's descriptor stood for, or the path it named; None when unknown.
        facts: What else is known, by name.
        unfinished: It was still open when recording, or its thread, ended: ``duration_ns`` is what was seen of it.
    """

    kind: Kind
    start_ns: int
    duration_ns: int | None
    pid: int
    tid: int
    phase: str | None
    name: str
    call: Decoded | None = None
    path: bytes | None = None
    facts: tuple[tuple[str, int | str], ...] = ()
    unfinished: bool = False


class EventReader:
    """Decodes pieces of a capture in order, from a file or while it is being recorded.

    Args:
        text: Returns the string behind a reference.
        metadata: The capture's metadata.
        phases: Its phases; while recording there are none yet.
        selection: Which events are wanted; one that narrows leaves out what isn't a system call.
        called: By thread the words for it, for a selection by thread.
    """

    def __init__(
        self,
        text: Callable[[int], bytes],
        metadata: Mapping[str, object],
        phases: Phases,
        selection: Selection,
        called: dict[int, set[str]] | None = None,
    ) -> None:
        self._text = text
        self._names = Names(text)
        self._fds = FdTable(self._names)
        self._decoder = CallDecoder(text)
        self._phases = phases
        self._phase_names: list[str | None] = [*phases.names, None]
        self._filter = (
            None if selection.shows_all else PostFilter(selection, phases, called or {}, self._names)
        )
        self._tables = {
            Kind.CALL: _strings(metadata, "functions"),
            Kind.DEVICE: _strings(metadata, "functions"),
            Kind.PHASE: _strings(metadata, "phases"),
            Kind.COUNTER: _strings(metadata, "counters"),
        }

    def events(self, view: View) -> Iterator[Event]:
        """Yield the events of a piece, ordered as calls returned."""
        resolved = self._fds.resolve(view)
        position = np.full(len(view), -1, np.int64)
        position[view.calls] = np.arange(len(view.calls))
        shown = np.ones(len(view), dtype=bool)
        if self._filter:
            shown[:] = False
            shown[view.calls] = self._filter.keep(view, resolved)
        rows = np.flatnonzero(shown)
        records = view.records[rows]
        phases = self._phases.of(records["start"].astype(np.int64)).tolist()
        fields = (
            "kind",
            "flags",
            "nr",
            "arch",
            "tid",
            "pid",
            "start",
            "duration",
            "ret",
            "args",
            "text",
            "text2",
        )
        columns = [records[name].tolist() for name in fields]
        names = np.where(position[rows] >= 0, resolved[position[rows]] if len(resolved) else NO_NAME, NO_NAME)
        for phase, name, *row in zip(phases, names.tolist(), *columns, strict=True):
            yield self._event(row, self._phase_names[phase], name)

    def _event(self, row: list[object], phase: str | None, name: int) -> Event:
        kind, flags, nr, arch, tid, pid, start, duration, ret, args, text, text2 = row
        assert isinstance(flags, int) and isinstance(start, int) and isinstance(duration, int)
        assert isinstance(kind, int) and isinstance(tid, int) and isinstance(pid, int) and isinstance(nr, int)
        assert isinstance(args, list) and isinstance(ret, int) and isinstance(text, int)
        assert isinstance(arch, int) and isinstance(text2, int)
        length = None if flags & Flag.LEFT else duration
        unfinished = bool(flags & Flag.NO_EXIT) and length is not None
        if kind == Kind.SYSCALL:
            target = self._names.name(name) if name != NO_NAME else None
            call = self._decoder.decode(RawCall(arch, nr, flags, ret, tuple(args), text, text2, target))
            if call.name in EXIT_CALLS and unfinished:
                length, unfinished = None, False
            return Event(
                Kind.SYSCALL, start, length, pid, tid, phase, call.name, call, target, unfinished=unfinished
            )
        what, facts = self._other(Kind(kind), nr, args, None if flags & Flag.NO_EXIT else ret, text)
        timed = kind in {Kind.CALL, Kind.PHASE, Kind.GIL, Kind.DEVICE}
        return Event(
            Kind(kind), start, length if timed else None, pid, tid, phase, what, None, None, facts,
            timed and unfinished,
        )  # fmt: skip

    def _other(
        self, kind: Kind, nr: int, args: list[int], ret: int | None, text: int
    ) -> tuple[str, tuple[tuple[str, int | str], ...]]:
        """Name an event that isn't a system call and give its facts."""
        if kind == Kind.FAULT:
            return ("major fault" if nr else "minor fault"), (("address", args[0]), ("ip", args[1]))
        if kind == Kind.SIGNAL:
            return signal_name(nr), (("sender", args[0]),)
        if kind == Kind.TASK:
            name = Task(nr).name.lower() if nr in set(Task) else f"task {nr}"
            return name, _task_facts(nr, args, ret, self._string(text))
        if kind == Kind.GIL:
            name = GIL_NAMES[nr] if nr < len(GIL_NAMES) else f"GIL {nr}"
            return name, (("depth", args[0]),)
        if kind in self._tables:
            names = self._tables[kind]
            name = names[nr] if nr < len(names) else f"{kind.name.lower()} {nr}"
            return name, (("value", ret or 0),) if kind == Kind.COUNTER else ()
        if kind == Kind.MAP:
            facts = (("address", args[0]), ("length", args[1]), ("offset", args[2]), ("prot", nr))
            return "map", (*facts, ("path", self._string(text)))
        if kind == Kind.FD:
            return "fd", (("fd", nr), ("path", self._string(text)))
        if kind == Kind.SCHED:
            return sched_event(nr, args, self._string(text))
        if kind == Kind.WATCH:
            return "logits read", (("address", args[0]), ("ip", args[1]), ("returns_to", args[2]))
        return "lost", (("records", ret or 0),)

    def _string(self, reference: int) -> str:
        return self._text(reference).decode("utf-8", "backslashreplace")


def read_events(capture: Capture, selection: Selection | None = None) -> Iterator[Event]:
    """Yield the events of a capture in the order of time."""
    chosen = selection or Selection()
    timeline = Timeline(capture)
    phases = find_phases(timeline, capture.metadata)
    called = find_threads(timeline, phases, capture) if chosen.threads else None
    reader = EventReader(capture.text, capture.metadata, phases, chosen, called)
    for view in timeline:
        yield from reader.events(view)


def derived_phases(capture: Capture) -> Phases:
    """Return the phases of a capture; for exports that show them as events of their own."""
    return find_phases(Timeline(capture), capture.metadata)


def _strings(metadata: Mapping[str, object], key: str) -> list[str]:
    values = metadata.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _task_facts(nr: int, args: list[int], ret: int | None, text: str) -> tuple[tuple[str, int | str], ...]:
    if nr in {Task.CLONE, Task.FORK, Task.VFORK}:
        return (("child_tid", args[0]), ("child_pid", args[1]))
    if nr == Task.EXIT:
        return (("status", "unknown" if ret is None else ret),)
    return (("text", text),)
