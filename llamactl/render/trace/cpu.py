"""The report's row about the CPU: what the threads got of it, and what they waited for."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.cpu import WHOSE
from llamactl.render.trace.mechanism import NONE, OK, Mechanism
from llamactl.render.trace.text import count_text, counted, shortened, time_text
from llamactl.trace.mechanisms.cpu.cpu_time import ALL
from llamactl.trace.mechanisms.cpu.cpu_use import STOLEN_SHARE, CpuUse, CpuVerdict
from llamactl.trace.mechanisms.findings.arguments import threads_asked
from llamactl.trace.mechanisms.report import TraceReport

WORDS = {
    CpuVerdict.OK: OK,
    CpuVerdict.QUOTA: "THROTTLED",
    CpuVerdict.HIDDEN_QUOTA: "STARVED",
    CpuVerdict.OWN_THREADS: "CROWDED",
    CpuVerdict.OWN_OTHERS: "STARVED",
    CpuVerdict.NEIGHBOURS: "STARVED",
    CpuVerdict.UNKNOWN: "STARVED",
    CpuVerdict.UNSEEN: "UNKNOWN",
}
LEAST_NS = 1_000_000
"""Waits of less aren't listed by phase."""


def cpu(report: TraceReport) -> Mechanism:
    """Whether threads that were ready to run had a CPU."""
    explanation = (
        "Linux counts how long a thread was ready but had no CPU. Threads that compute a token together wait for the"
        " last one: a quota, other programs or too many threads of one's own make every token slow alike."
    )
    use = report.cpu_use
    if use is None:
        return Mechanism("CPU", ("unknown: waits for a CPU weren't looked up",), NONE, explanation)
    return Mechanism("CPU", tuple(_lines(report, use)), WORDS[use.verdict], explanation)


def _lines(report: TraceReport, use: CpuUse) -> Iterator[str]:
    every = next(row for row in report.cpu if row.name == ALL)
    yield f"{_threads(use)}{_asked(report)}"
    phases = [
        f"{row.name} {time_text(row.waited_ns)}"
        for row in report.cpu
        if row.name != ALL and row.waited_ns >= LEAST_NS
    ]
    listed = f" ({', '.join(phases)})" if phases else ""
    yield f"{time_text(every.ran_ns)} computed, {time_text(every.waited_ns)} ready without a CPU{listed}"
    if use.waited_ns >= LEAST_NS:
        yield f"{use.waited_share:.0%} of {WHOSE[use.what]} waited for a CPU"
    stopped = use.throttle
    if stopped is not None:
        yield (
            f"throttled in {count_text(stopped.throttled_periods)} of {count_text(stopped.periods)} periods,"
            f" {time_text(stopped.throttled_ns)}: {shortened(safe_text(stopped.group), 44)}"
        )
    if use.stolen_share is not None and use.stolen_share >= STOLEN_SHARE:
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
