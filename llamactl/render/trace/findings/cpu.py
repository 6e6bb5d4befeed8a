"""Sentences on what `trace/mechanisms/findings/cpu.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import count_text, counted, time_text
from llamactl.trace.mechanisms.cpu.cpu_use import CpuVerdict
from llamactl.trace.mechanisms.findings.finding import FindingKind

WHOSE = {
    "decode": "a token's time",
    "prefill": "the prompt's time",
    "all": "the time in which it had work to do",
}


def waited_text(what: str, share: float) -> str:
    """Return ``94 % of a token's time was spent waiting for a CPU``."""
    return f"{share:.0%} of {WHOSE[what]} was spent waiting for a CPU"


def _throttled(f: Figures) -> Said:
    quota, threads = f["quota_us"], f["threads"]
    group = safe_text(f["group"])
    limit = "a CPU quota that has gone meanwhile"
    remedy = f"Give {group} a larger quota"
    if quota:
        cpus = quota / f["period_us"]
        limit = f"a quota of {time_text(quota * 1e3)} in {time_text(f['period_us'] * 1e3)} ({cpus:.3g} CPUs)"
        most = max(int(cpus), 1)
        remedy += f": {counted(max(threads, 1), 'thread')} can use {counted(max(threads, 1), 'CPU')}"
        if threads > most:
            remedy += f"; or set n_threads and n_threads_batch to {most}, so that the quota lasts longer"
    return (
        f"The control group {group} was throttled in {count_text(f['nr_throttled'])} of"
        f" {count_text(f['nr_periods'])} periods, for {time_text(f['throttled_ns'])} on all CPUs together, by"
        f" {limit}: {waited_text(f['what'], f['waited_share'])}.",
        f"{remedy} (docker: --cpus, Kubernetes: limits.cpu).",
    )


def _starved(f: Figures) -> Said:
    text = f"{waited_text(f['what'], f['waited_share'])} ({time_text(f['waited_ns'])}): "
    cause, remedy = STARVED[CpuVerdict(f["why"])](f)
    return text + cause, remedy


def _where(f: Figures) -> str:
    listed = f"CPU {safe_text(f['cpu_list'])}" if f["cpu_list"] else "its CPUs"
    return "its CPUs" if len(listed) > 30 else listed


def _neighbours(f: Figures) -> Said:
    others = "" if f["others_cpus"] is None else f" ({f['others_cpus']:.2g} CPUs' worth)"
    listed = ", ".join(
        f"{safe_text(one['name'])} (process {one['pid']}) {one['cpus']:.2g}" for one in f["neighbours"]
    )
    who = f", most of all {listed}" if listed else ""
    return (
        f"other programs used {_where(f)} meanwhile{others}{who}.",
        "Stop or move them (taskset -acp CPUS PID moves one), or give this program CPUs of its own (a cpuset).",
    )


def _own_threads(f: Figures) -> Said:
    count = f["budget_threads"] or f["cpus"]
    if f["processes"] > 1:
        each = max(count // f["processes"], 1)
        fewer = "" if f["processes"] <= count else f", and let no more than {count} compute at once"
        return (
            f"{counted(f['threads'], 'thread')} of {count_text(f['processes'])} processes computed on"
            f" {counted(f['cpus'], 'CPU')} and used them up themselves.",
            f"Set n_threads and n_threads_batch of each process to {each}{fewer}.",
        )
    return (
        f"{counted(f['threads'], 'thread')} computed on {counted(f['cpus'], 'CPU')} and used them up themselves.",
        f"Set n_threads and n_threads_batch to {count}.",
    )


def _own_others(f: Figures) -> Said:
    return (
        f"other threads and processes of the program itself used {_where(f)} meanwhile.",
        "Let them wait until the answer is there, or give them other CPUs (taskset -cp CPUS PID).",
    )


def _hidden(f: Figures) -> Said:
    idle = "" if f["idle_share"] is None else f", {f['idle_share']:.0%} idle"
    return (
        f"{_where(f)} had room{idle}, and no quota can be seen from here: one of a group above this container stops"
        " it, or a scheduling policy (chrt -p PID).",
        "Raise the limit where the container is defined (docker: --cpus, Kubernetes: limits.cpu).",
    )


def _unknown(f: Figures) -> Said:
    return (
        f"{counted(f['threads'], 'thread')} computed; who had the CPUs wasn't seen.",
        "`top` shows who uses them now.",
    )


STARVED = {
    CpuVerdict.NEIGHBOURS: _neighbours,
    CpuVerdict.OWN_THREADS: _own_threads,
    CpuVerdict.OWN_OTHERS: _own_others,
    CpuVerdict.HIDDEN_QUOTA: _hidden,
    CpuVerdict.UNKNOWN: _unknown,
}


def _over_budget(f: Figures) -> Said:
    budget, threads, batch = f["budget_threads"], f["threads"], f.get("threads_batch")
    over = [
        f"n_threads{name}" for name, count in (("", threads), ("_batch", batch)) if count and count > budget
    ]
    also = f" ({batch} for prompts)" if batch and batch != threads else ""
    remedy = f"Set {' and '.join(over)} to {budget}"
    pinned, other = _pinned(f)
    return (
        f"{counted(threads, 'thread')}{also} compute on a budget of {budget} (limited by {f['limited_by']}{pinned}): they"
        " wait for each other at every barrier.",
        f"{other or remedy}{', or: ' + _lower(remedy) if other else ''}.",
    )


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _pinned(f: Figures) -> tuple[str, str]:
    """Return where the threads are pinned and by whom, and what ends it."""
    where = f", pinned to CPU {safe_text(f['cpu_list'])}" if f.get("cpu_list") else ""
    by = f.get("pinned_by")
    if by == "environment":
        named = ", ".join(f"{name}={value}" for name, value in f["settings"].items())
        names = ", ".join(f["settings"])
        return (
            f"{where} by {safe_text(named)}",
            f"Unset {safe_text(names)}, or let it name as many CPUs as threads",
        )
    if by == "call":
        times = "" if f["calls"] == 1 else f" ({count_text(f['calls'])} calls)"
        who = f"sched_setaffinity in process {f['pid']}, thread {f['tid']}, {f['at_s']:.2f} s after the start{times}"
        return f"{where} by {who}", "Leave out that call (taskset -acp CPUS PID undoes it while it runs)"
    if by == "before the recording":
        return f"{where} before the recording", "Give it more CPUs (taskset, a container's cpuset)"
    if by == "unknown":
        return f"{where}, by no call that was recorded", "Undo it with taskset -acp CPUS PID"
    return "", ""


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.THROTTLED: _throttled,
    FindingKind.CPU_STARVED: _starved,
    FindingKind.THREADS_OVER_BUDGET: _over_budget,
}
