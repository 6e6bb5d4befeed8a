"""Findings on CPUs that the computing threads didn't get, and on more threads than CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llamactl.trace.mechanisms.cpu.cpu_use import CpuUse, CpuVerdict
from llamactl.trace.mechanisms.findings.arguments import threads_asked
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

THROTTLED_SHARE = 0.1
"""Beside another reason to wait, a quota that took less isn't worth a word."""


def budget_threads(use: CpuUse) -> int | None:
    """Return how many threads can compute at once; None where their CPUs weren't looked up."""
    if use.cores is None:
        return None
    return use.cores if use.quota_cpus is None else min(use.cores, max(int(use.quota_cpus), 1))


def _throttled(report: TraceReport) -> Iterator[Finding]:
    use = report.cpu_use
    if use is None or use.throttle is None or use.verdict in {CpuVerdict.OK, CpuVerdict.UNSEEN}:
        return
    if use.verdict is not CpuVerdict.QUOTA and use.throttled_share < THROTTLED_SHARE:
        return
    stopped = use.throttle
    figures = {
        "nr_throttled": stopped.throttled_periods,
        "nr_periods": stopped.periods,
        "throttled_ns": stopped.throttled_ns,
        "quota_us": stopped.quota_us or None,
        "period_us": stopped.period_us or None,
        "group": stopped.group,
        "threads": use.threads,
        "what": use.what,
        "waited_share": use.waited_share,
    }
    yield Finding(FindingKind.THROTTLED, use.waited_ns, figures)


def _starved(report: TraceReport) -> Iterator[Finding]:
    use = report.cpu_use
    if use is None or use.verdict in {CpuVerdict.OK, CpuVerdict.QUOTA, CpuVerdict.UNSEEN}:
        return
    figures = {
        "why": use.verdict.value,
        "what": use.what,
        "waited_share": use.waited_share,
        "waited_ns": use.waited_ns,
        "threads": use.threads,
        "cpus": use.cpus,
        "cpu_list": use.cpu_list,
        "budget_threads": budget_threads(use),
        "idle_share": use.idle_share,
        "others_cpus": use.others_cpus,
        "neighbours": [{"pid": one.pid, "name": one.name, "cpus": one.cpus} for one in use.neighbours],
        "processes": use.processes,
    }
    yield Finding(FindingKind.CPU_STARVED, use.waited_ns, figures)


def _over_budget(report: TraceReport) -> Iterator[Finding]:
    over = threads_over_budget(report)
    if over is not None:
        yield Finding(FindingKind.THREADS_OVER_BUDGET, None, over)


def threads_over_budget(report: TraceReport) -> dict[str, Any] | None:
    """Return the figures of more threads than can compute at once; None where there aren't more.

    The CPUs are those of the threads while they compute; where nobody looked, those of the program's start.
    """
    start = report.metadata.get("cpu_budget") or {}
    use = report.cpu_use
    measured = budget_threads(use) if use is not None else None
    budget = measured or start.get("threads")
    asked, batch = threads_asked(report.exchange)
    threads = asked or (use.threads if use is not None and report.exchange is not None else 0)
    if not budget or not threads or max(threads, (batch or 0) if _prompts(report) else 0) <= budget:
        return None
    limited_by, cpus = start.get("limited_by"), None
    if use is not None and measured is not None:
        cpus = use.cpu_list
        limited_by = "quota" if use.cores and measured < use.cores else _by_place(use, start)
    return {
        "threads": threads,
        "threads_batch": batch,
        "budget_threads": budget,
        "limited_by": limited_by,
        "cpu_list": cpus,
        **_pinned(report, limited_by, start),
    }


def _prompts(report: TraceReport) -> bool:
    return any(row.name == "prefill" and row.intervals for row in report.phases)


def _by_place(use: CpuUse, start: dict[str, Any]) -> str | None:
    allowed = start.get("affinity_cpus")
    if use.cpus is not None and allowed is not None and use.cpus < allowed:
        return "affinity"
    return str(start.get("limited_by")) if start.get("limited_by") != "quota" else "cores"


def _pinned(report: TraceReport, limited_by: str | None, start: dict[str, Any]) -> dict[str, Any]:
    """Return who pinned the threads: settings of the environment, calls, or somebody before the start."""
    if limited_by != "affinity":
        return {"pinned_by": None}
    use, pins = report.cpu_use, report.pins
    settings = report.metadata.get("thread_placement")
    later = use is not None and use.cpus is not None and use.cpus < (start.get("affinity_cpus") or 0)
    if settings and (later or report.metadata.get("attached")):
        return {"pinned_by": "environment", "settings": dict(settings)}
    if not later:
        return {"pinned_by": "before the recording"}
    if pins:
        first = pins[0]
        return {
            "pinned_by": "call",
            "calls": len(pins),
            "pid": first.pid,
            "tid": first.tid,
            "at_s": (first.at_ns - report.begin_ns) / 1e9,
        }
    return {"pinned_by": "unknown"}


LOOKS: tuple[Look, ...] = (_throttled, _starved, _over_budget)
