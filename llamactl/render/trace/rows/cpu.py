"""The report's row about the CPU: what the threads got of it, and what they waited for."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.cpu import WHOSE
from llamactl.render.trace.text import count_text, counted, shortened, time_text
from llamactl.trace.mechanisms.cpu.cpu_time import ALL
from llamactl.trace.mechanisms.cpu.cpu_use import CpuUse
from llamactl.trace.mechanisms.cpu.mechanism import is_listed
from llamactl.trace.mechanisms.findings.arguments import threads_asked
from llamactl.trace.mechanisms.report import TraceReport


def cpu(report: TraceReport) -> Iterator[str]:
    """Whether threads that were ready to run had a CPU."""
    use = report.cpu_use
    if use is None:
        yield "unknown: waits for a CPU weren't looked up"
        return
    every = next(row for row in report.cpu if row.name == ALL)
    yield f"{_threads(use)}{_asked(report)}"
    phases = [
        f"{row.name} {time_text(row.waited_ns)}"
        for row in report.cpu
        if row.name != ALL and is_listed(row.waited_ns)
    ]
    listed = f" ({', '.join(phases)})" if phases else ""
    yield f"{time_text(every.ran_ns)} computed, {time_text(every.waited_ns)} ready without a CPU{listed}"
    if is_listed(use.waited_ns):
        yield f"{use.waited_share:.0%} of {WHOSE[use.what]} waited for a CPU"
    stopped = use.throttle
    if stopped is not None:
        yield (
            f"throttled in {count_text(stopped.throttled_periods)} of {count_text(stopped.periods)} periods,"
            f" {time_text(stopped.throttled_ns)}: {shortened(safe_text(stopped.group), 44)}"
        )
    if use.stolen_share is not None and use.stolen_notably:
        yield f"the hypervisor took {use.stolen_share:.0%} of these CPUs' time away"


def _threads(use: CpuUse) -> str:
    quota = "" if use.quota_cpus is None else f", quota {use.quota_cpus:.3g} CPUs"
    if use.cpus is None:
        return f"{counted(use.threads, 'thread')} busy at once{quota}"
    which = f" ({shortened(safe_text(use.cpu_list or ''), 16)})"
    return f"{counted(use.threads, 'thread')} busy at once on {counted(use.cpus, 'CPU')}{which}{quota}"


def _asked(report: TraceReport) -> str:
    """Return what the program asked for."""
    threads, batch = threads_asked(report.exchange)
    if threads is None:
        return ""
    return f"; n_threads {threads}" + ("" if batch is None else f", n_threads_batch {batch}")
