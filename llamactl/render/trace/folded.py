"""Folded stacks for flame graphs: ``process;thread;phase;call;path nanoseconds``, one line per stack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from llamactl.render.safe import safe_text
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.events import Event
from llamactl.trace.mechanisms.report import TraceReport


def folded_lines(events: Iterable[Event], report: TraceReport) -> Iterator[str]:
    """Yield the stacks with the time spent in them, nanoseconds; the heaviest first.

    Args:
        events: System calls with their phases.
        report: Names of processes and threads.
    """
    processes = {row.pid: _frame(row.name) for row in report.processes}
    threads = {row.tid: _frame(f"{row.role} {row.name}") for row in report.threads}
    weights: Counter[tuple[str, ...]] = Counter()
    for event in events:
        if event.kind != Kind.SYSCALL or not event.duration_ns:
            continue
        frames = [
            processes.get(event.pid) or f"process {event.pid}",
            threads.get(event.tid) or f"thread {event.tid}",
            event.phase or "outside",
            event.name,
        ]
        if event.path:
            frames.append(_frame(event.path.decode("utf-8", "backslashreplace")))
        weights[tuple(frames)] += event.duration_ns
    for frames_of, weight in weights.most_common():
        yield f"{';'.join(frames_of)} {weight}"


def _frame(name: str) -> str:
    """Return a name that can't end a frame or a line."""
    return safe_text(name).replace(";", ":")
