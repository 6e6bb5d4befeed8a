"""What bounds a process: control groups, resource limits, and how soon it is killed without memory."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.process.groups import CpuGroup, MemoryGroup, PidsGroup, read_groups, read_pids_group
from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import proc_lines

_NAMES = {
    "Max locked memory": "memlock",
    "Max open files": "nofile",
    "Max stack size": "stack",
    "Max address space": "address_space",
    "Max processes": "processes",
}


@dataclass(frozen=True, slots=True)
class ResourceLimit:
    """A soft and a hard limit (getrlimit(2)); None is unlimited."""

    name: str
    soft: int | None
    hard: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits; what may not be read is None."""

    memory: MemoryGroup | None
    cpu: CpuGroup | None
    pids: PidsGroup | None
    resources: tuple[ResourceLimit, ...]
    oom_score: int | None
    oom_score_adjustment: int | None


def read_limits(process: ProcessDir) -> Limits:
    """Return the limits of a process."""
    memory, cpu = read_groups(process.pid)
    try:
        resources = tuple(_resources(process.read("limits")))
    except OSError as error:
        process.refuse("limits", error, "resource limits")
        resources = ()
    return Limits(
        memory,
        cpu,
        read_pids_group(process.pid),
        resources,
        _score(process, "oom_score"),
        _score(process, "oom_score_adj"),
    )


def _resources(data: bytes) -> list[ResourceLimit]:
    """Read the table of proc_pid_limits(5): names in 25 columns, values in 21 each."""
    found = []
    for line in proc_lines(data)[1:]:
        name = _NAMES.get(line[:25].strip())
        if name:
            found.append(ResourceLimit(name, _value(line[26:47]), _value(line[47:68])))
    return found


def _value(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdigit() else None


def _score(process: ProcessDir, name: str) -> int | None:
    try:
        return int(process.text(name))
    except (OSError, ValueError):
        return None
