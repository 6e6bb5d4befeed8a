"""The log: one line per event, in the manner of strace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import call_text
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.events import Event

_HIDDEN = frozenset({Kind.FD, Kind.MAP, Kind.SCHED})
"""Records that only help to read others."""


def log_lines(events: Iterable[Event], begin_ns: int) -> Iterator[str]:
    """Yield a line per event: time, process and thread, phase, the call, its result, its duration.

    Args:
        events: In the order of time.
        begin_ns: The moment shown as 0.
    """
    for event in events:
        if event.kind not in _HIDDEN:
            yield log_line(event, begin_ns)


def log_line(event: Event, begin_ns: int) -> str:
    """Return one event as a line without its end."""
    seconds = (event.start_ns - begin_ns) / 1e9
    thread = f"{event.pid}" if event.pid == event.tid else f"{event.pid}/{event.tid}"
    head = f"{seconds:11.6f} {thread:<15} {event.phase or '-':<8} "
    if event.call:
        return head + call_text(event.call) + _duration(event)
    facts = " ".join(f"{name}={_fact(name, value)}" for name, value in event.facts)
    return head + " ".join(part for part in (_label(event), facts) if part) + _duration(event)


def _label(event: Event) -> str:
    name = safe_text(event.name)
    if event.kind in {Kind.SIGNAL, Kind.TASK}:
        return f"--- {name}"
    return f"=== {event.kind.name.lower()} {name}"


def _fact(name: str, value: int | str) -> str:
    if name in {"address", "ip"}:
        return f"{value:#x}"
    return safe_text(str(value))


def _duration(event: Event) -> str:
    if event.duration_ns is None:
        return " <unfinished>" if event.call else ""
    seconds = f"{event.duration_ns / 1e9:.6f}"
    return f" <unfinished after {seconds}>" if event.unfinished else f" <{seconds}>"
