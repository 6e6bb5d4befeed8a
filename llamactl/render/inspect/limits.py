"""Limits of a process as text."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.process.groups import CpuGroup, MemoryGroup, PidsGroup
from llamactl.process.limits import Limits, ResourceLimit
from llamactl.render.columns import wrapped
from llamactl.render.units import seconds, size
from llamactl.snapshot.process.memory import ModelMemory

_IN_BYTES = frozenset({"memlock", "stack", "address_space"})


def limit_lines(
    limits: Limits | None, models: Sequence[ModelMemory] = (), n_files: int | None = None
) -> list[str]:
    """Return what bounds the process, memlock and nofile next to what they would have to hold."""
    if limits is None:
        return []
    lines = ["Limits"]
    lines += wrapped(_memory(limits.memory))
    lines += wrapped(_cpu(limits.cpu))
    lines += wrapped(_pids(limits.pids))
    lines += wrapped(", ".join(map(_resource, limits.resources)))
    lines += _against(limits, models, n_files)
    if limits.oom_score is not None:
        adjusted = f"(adjusted by {limits.oom_score_adjustment})"
        lines += wrapped(f"killed for memory with score {limits.oom_score} {adjusted}")
    return lines


def _against(limits: Limits, models: Sequence[ModelMemory], n_files: int | None) -> list[str]:
    soft = {limit.name: limit.soft for limit in limits.resources}
    lines = []
    for model in models:
        locked = soft.get("memlock")
        if locked is not None and model.size_bytes is not None and locked < model.size_bytes:
            needed = f"the model's {size(model.size_bytes)} without CAP_IPC_LOCK"
            lines += wrapped(f"memlock {size(locked)} is too small to lock {needed}")
    if n_files is not None and soft.get("nofile"):
        lines += wrapped(f"{n_files} of {soft['nofile']} file descriptors are open")
    return lines


def _memory(group: MemoryGroup | None) -> str:
    if group is None:
        return "memory: no control group is seen"
    used = (
        f"{size(group.current_bytes)} used, {size(group.reclaimable_bytes)} of it cache that can be dropped"
    )
    if group.limit_bytes is None:
        return f"memory: no limit, {used} ({group.path})"
    return f"memory: {size(group.limit_bytes)}, {used}, {size(group.headroom_bytes)} left ({group.path})"


def _cpu(group: CpuGroup | None) -> str:
    if group is None:
        return "CPU: no control group is seen"
    quota = "no quota" if group.cpus is None else f"{group.cpus:g} CPUs"
    throttled = ""
    if group.throttled_periods:
        periods = f"{group.throttled_periods} of {group.periods} periods"
        throttled = f", stopped in {periods}, {seconds(group.throttled_ns)} in all"
    return f"CPU: {quota}{throttled} ({group.path})"


def _pids(group: PidsGroup | None) -> str:
    if group is None:
        return "processes and threads: no control group is seen"
    current = "unknown" if group.current is None else str(group.current)
    most = "no limit" if group.limit is None else f"at most {group.limit}"
    refused = f", {group.refused} refused so far" if group.refused else ""
    return f"processes and threads of the group: {current}, {most}{refused} ({group.path})"


def _resource(limit: ResourceLimit) -> str:
    def shown(value: int | None) -> str:
        if value is None:
            return "unlimited"
        return size(value) if limit.name in _IN_BYTES else str(value)

    name = limit.name.replace("_", " ")
    return f"{name} {shown(limit.soft)}" + (
        f" (at most {shown(limit.hard)})" if limit.hard != limit.soft else ""
    )
