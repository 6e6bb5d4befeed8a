"""What was looked up about threads, control groups and CPUs, as an event: a name and its facts."""

from __future__ import annotations

from llamactl.trace.capture.record import Sched

_FACTS = {
    Sched.THREAD: ("thread", ("cpu_ns", "run_delay_ns", "slices")),
    Sched.GROUP: ("group", ("throttled_periods", "throttled_ns", "periods", "", "quota_us", "period_us")),
    Sched.AFFINITY: ("affinity", ("cpus", "cores")),
    Sched.MACHINE: ("machine", ("busy_ns", "idle_ns", "stolen_ns")),
    Sched.NEIGHBOUR: ("neighbour", ("cpu_ns",)),
    Sched.COLLECTOR: ("collector", ("at_work", "full_collections", "seen_before_ns")),
}
_TEXTS = {
    Sched.GROUP: "directory",
    Sched.AFFINITY: "cpu_list",
    Sched.MACHINE: "cpu_list",
    Sched.NEIGHBOUR: "process",
}


def sched_event(nr: int, args: list[int], text: str) -> tuple[str, tuple[tuple[str, int | str], ...]]:
    """Name a SCHED record and give its facts, as :class:`Sched` says."""
    if nr not in set(Sched):
        return f"sched {nr}", ()
    what = Sched(nr)
    name, fields = _FACTS[what]
    facts: list[tuple[str, int | str]] = [
        (field, value) for field, value in zip(fields, args, strict=False) if field
    ]
    if what is Sched.THREAD and args[3] & 0xFF:
        facts.append(("state", chr(args[3] & 0xFF)))
        if args[3] >> 8:
            facts.append(("call", (args[3] >> 8) - 1))
    if what in _TEXTS:
        facts.append((_TEXTS[what], text))
    return name, tuple(facts)
