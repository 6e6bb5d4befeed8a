"""Sentences on what a program asks of Linux: calls, threads, locks, the GPU's driver."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.rows.device_calls import device_call_lines
from llamactl.render.trace.rows.devices import device_lines
from llamactl.render.trace.text import count_text, counted, shortened, time_text
from llamactl.trace.mechanisms.end.left_running import LeftRunning
from llamactl.trace.mechanisms.gpu.mechanism import GpuState
from llamactl.trace.mechanisms.report import TraceReport

_NAMED = 3


def calls(report: TraceReport) -> Iterator[str]:
    """How many, in which time, what failed."""
    total = sum(row.count for row in report.calls)
    if total:
        most = sorted(report.calls, key=lambda row: -row.count)[:3]
        listed = ", ".join(f"{count_text(row.count)} {row.name}" for row in most)
        still = sum(row.unfinished for row in report.threads)
        failed = sum(row.errors for row in report.calls)
        spent = sum(row.total_ns or 0 for row in report.calls)
        yield f"{count_text(total)} ({listed}{' …' if report.calls[3:] else ''})"
        yield (
            f"{time_text(spent)} inside them, all threads together; {count_text(failed)} failed"
            f"{f'; {count_text(still)} unfinished' if still else ''}"
        )
    else:
        yield "none recorded"
    standing = sum(len(row.standing.threads) for row in report.standing)
    if standing:
        yield f"{counted(standing, 'thread')} stood in a call at the end (see the findings)"
    if report.refusals:
        yield f"{counted(sum(row.count for row in report.refusals), 'call')} refused (see the findings)"
    for row in report.always_failed[:_NAMED]:
        yield f"{row.name} failed all {count_text(row.count)} times: {errno.errorcode.get(row.error, row.error)}"


def threads(report: TraceReport) -> Iterator[str]:
    """Whose they are, and how long they were blocked."""
    roles: dict[str, int] = {}
    for row in report.threads:
        roles[row.role] = roles.get(row.role, 0) + 1
    listed = ", ".join(f"{count} {role}" for role, count in roles.items())
    blocked = sum(row.blocked_ns or 0 for row in report.threads)
    yield f"{count_text(len(report.threads))} ({listed})" if report.threads else "none seen"
    if report.futexes:
        yield f"{time_text(blocked)} blocked, all together"
    elif blocked:
        yield f"{time_text(blocked)} waiting for files, sockets and timers, all together"
    if report.processes[1:]:
        yield f"{count_text(len(report.processes))} processes"
    if report.left_running is not None:
        yield from _left_running(report.left_running)


def _left_running(left: LeftRunning) -> Iterator[str]:
    """Say what the recording waited for."""
    yield f"the program itself ended after {time_text(left.ended_s * 1e9)}; it left running:"
    for row in left.processes[:_NAMED]:
        until = "to the end" if row.end_s is None else f"until {time_text(row.end_s * 1e9)}"
        yield f"{shortened(safe_text(row.name), 30)} (process {row.pid}) {until}"


def locks(report: TraceReport) -> Iterator[str]:
    """What threads waited for each other for."""
    waited = [row for row in report.futexes if row.waits]
    if not waited:
        known = report.blind.futexes
        yield "no thread waited for a lock" if known else "no futex wait recorded (-e trace=futex adds them)"
    for row in waited[:4]:
        yield (
            f"{row.name}: {counted(row.waits, 'wait')}, {time_text(row.waited_ns)}, {counted(row.threads, 'thread')}"
            f"{f', {row.unfinished} unfinished' if row.unfinished else ''}"
        )


def gpu(report: TraceReport) -> Iterator[str]:
    """Which device nodes were used."""
    use, devices = report.gpu, report.devices
    on_device = devices is not None and devices.used
    if devices is not None and on_device:
        yield from device_lines(devices)
    if report.device_calls is not None:
        yield from device_call_lines(report, report.device_calls)
    names = ", ".join(safe_text(name) for name in use.nodes[:_NAMED])
    if use.state is GpuState.OPENED:
        yield f"{names}: {count_text(use.calls)} calls"
    elif on_device or report.device_calls is not None:
        return
    elif use.state is GpuState.HELD:
        yield f"{names}: open when recording began; {counted(use.calls, 'call')}"
    elif use.state is GpuState.UNKNOWN:
        yield "unknown: opening files wasn't recorded (-e)"
    else:
        tried = ", ".join(safe_text(name) for name in use.nodes[:2])
        yield f"none: {tried + ' not there' if tried else 'no device node opened'}"
