"""Chrome's trace format, which Perfetto opens: threads as tracks, slices that nest, counters.

Slices of one thread nest because they do so in the program: a system call lies inside the llama.cpp call
that makes it. What needn't nest has tracks of its own: phases, which aren't calls of one thread, and the GIL,
which is let go before a call and taken back after it, or the other way round.
Format: "Trace Event Format", events X (slice), b and e (asynchronous), i (instant), C (counter), M (name).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from llamactl.render.trace.text import call_text
from llamactl.trace.capture.record import Kind
from llamactl.trace.decode.table import moving
from llamactl.trace.mechanisms.events import Event
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.report import TraceReport

PHASE_TRACK = 1 << 22
"""Thread number of the track with the phases. No thread has it (PID_MAX_LIMIT); 0 would be Perfetto's main thread."""

COUNTER_STEP_NS = 1_000_000
"""Counters that are added up from events are written at most once a millisecond."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
_READS = moving("in", network=False)


def chrome_trace(events: Iterable[Event], report: TraceReport, phases: Phases) -> Iterator[str]:
    """Yield the document in pieces; it is never in memory as a whole.

    Args:
        events: In the order of time.
        report: Names of threads and processes, and the metadata.
        phases: Become slices on their own track.
    """
    begin = report.begin_ns
    yield '{"displayTimeUnit":"ns","otherData":' + _ENCODER.encode(_about(report)) + ',"traceEvents":[\n'
    separator = ""
    for item in _all(events, report, phases, begin):
        yield separator + _ENCODER.encode(item)
        separator = ",\n"
    yield "\n]}\n"


def _about(report: TraceReport) -> dict[str, Any]:
    return {
        "command": " ".join(report.command),
        "engine": report.cost.engine,
        "records": report.cost.records,
        "lost": report.cost.lost,
        "complete": report.cost.complete,
        "first_moment_ns": report.begin_ns,
    }


def _all(
    events: Iterable[Event], report: TraceReport, phases: Phases, begin: int
) -> Iterator[dict[str, Any]]:
    yield from _names(report)
    yield from _phase_slices(report, phases, begin)
    sums = _Sums(begin)
    for event in events:
        if event.kind == Kind.GIL and event.duration_ns is not None:
            yield from _asynchronous(event, begin)
        elif item := _item(event, begin):
            yield item
        yield from sums.add(event)
    yield from sums.last()


def _names(report: TraceReport) -> Iterator[dict[str, Any]]:
    for process in report.processes:
        yield _name("process_name", process.pid, process.pid, process.name)
    for thread in report.threads:
        yield _name("thread_name", thread.pid, thread.tid, f"{thread.name} ({thread.role})")


def _name(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _phase_slices(report: TraceReport, phases: Phases, begin: int) -> Iterator[dict[str, Any]]:
    if not len(phases.start) or not report.processes:
        return
    pid = report.processes[0].pid
    yield _name("thread_name", pid, PHASE_TRACK, "phases")
    columns = zip(phases.start.tolist(), phases.end.tolist(), phases.number.tolist(), strict=True)
    for row, (start, end, number) in enumerate(columns):
        item = _slice(phases.names[number], "phase", pid, PHASE_TRACK, start - begin, end - start)
        yield {**item, "args": {"unfinished": True}} if phases.is_open(row) else item


def _item(event: Event, begin: int) -> dict[str, Any] | None:
    start = event.start_ns - begin
    category = event.kind.name.lower()
    if event.kind in {Kind.SYSCALL, Kind.CALL, Kind.GIL, Kind.DEVICE}:
        if event.duration_ns is None:
            item = _instant(event, category, start)
        else:
            item = _slice(event.name, category, event.pid, event.tid, start, event.duration_ns)
        if event.call:
            item["args"] = {"call": call_text(event.call), "phase": event.phase}
        if event.unfinished:
            item.setdefault("args", {})["unfinished"] = True
        return item
    if event.kind in {Kind.TASK, Kind.SIGNAL, Kind.LOST}:
        return {**_instant(event, category, start), "args": dict(event.facts)}
    if event.kind == Kind.COUNTER:
        return _counter(event.pid, max(start, 0), event.name, int(dict(event.facts)["value"]))
    return None


def _slice(name: str, category: str, pid: int, tid: int, start: int, length: int) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "cat": category, "pid": pid, "tid": tid,
        "ts": _microseconds(start), "dur": _microseconds(length),
    }  # fmt: skip


def _asynchronous(event: Event, begin: int) -> Iterator[dict[str, Any]]:
    """Yield the beginning and the end of a slice on the track of its name and thread."""
    start = event.start_ns - begin
    both = {
        "cat": event.kind.name.lower(),
        "name": event.name,
        "id": event.tid,
        "pid": event.pid,
        "tid": event.tid,
    }
    marked = {"args": {"unfinished": True}} if event.unfinished else {}
    yield {"ph": "b", **both, "ts": _microseconds(start), **marked}
    yield {"ph": "e", **both, "ts": _microseconds(start + (event.duration_ns or 0))}


def _instant(event: Event, category: str, start: int) -> dict[str, Any]:
    return {
        "ph": "i", "s": "t", "name": event.name, "cat": category, "pid": event.pid, "tid": event.tid,
        "ts": _microseconds(start),
    }  # fmt: skip


def _counter(pid: int, start: int, name: str, value: int) -> dict[str, Any]:
    return {
        "ph": "C",
        "name": name,
        "pid": pid,
        "tid": 0,
        "ts": _microseconds(start),
        "args": {"value": value},
    }


def _microseconds(ns: int) -> int | float:
    """Return microseconds; a float has room for a nanosecond in any trace shorter than a month."""
    return ns // 1000 if ns % 1000 == 0 else ns / 1000


class _Sums:
    """Counters added up from events, each process's own: bytes read and page faults."""

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self._written = begin
        self._values: dict[tuple[int, str], int] = {}
        self._shown: dict[tuple[int, str], int] = {}
        self._moment = begin

    def add(self, event: Event) -> Iterator[dict[str, Any]]:
        """Take an event; yield the counters that changed, when it is time to."""
        self._moment = event.start_ns
        if event.kind == Kind.FAULT:
            self._more(event.pid, "page faults", 1)
        elif event.call and event.name in _READS and isinstance(event.call.result, int):
            self._more(event.pid, "bytes read", max(event.call.result, 0))
        if event.start_ns - self._written >= COUNTER_STEP_NS:
            yield from self.last()

    def last(self) -> Iterator[dict[str, Any]]:
        """Yield the counters that changed since they were yielded."""
        self._written = self._moment
        for key, value in self._values.items():
            if self._shown.get(key, 0) != value:
                self._shown[key] = value
                pid, name = key
                yield _counter(pid, self._moment - self._begin, name, value)

    def _more(self, pid: int, name: str, count: int) -> None:
        self._values[pid, name] = self._values.get((pid, name), 0) + count
