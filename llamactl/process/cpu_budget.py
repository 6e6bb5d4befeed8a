"""How many threads can run at once for this process: cores, affinity and the quota of its control group.

llama.cpp looks at none of the three together: it takes the physical cores of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from llamactl.process.cgroup import ROOT, Hierarchy, hierarchy
from llamactl.process.cpu_quota import quota_of
from llamactl.process.proc_text import status_fields
from llamactl.process.small_files import read_int


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """What a process may use of the CPUs.

    Attributes:
        threads: Threads that can compute at once: the least of the three, at least 1.
        physical_cores: Cores behind the CPUs it may run on; two hyperthreads count once.
        affinity_cpus: CPUs it may run on (sched_getaffinity(2)).
        quota_cpus: CPU time per time from ``cpu.max`` or ``cpu.cfs_quota_us``, the least up the tree;
            ``None`` where none is set, or no group is seen.
        quota_source: The file that sets it.
        limited_by: ``cores``, ``affinity`` or ``quota``: what makes ``threads`` as small as it is.
    """

    threads: int
    physical_cores: int
    affinity_cpus: int
    quota_cpus: float | None
    quota_source: str | None
    limited_by: str

    def __str__(self) -> str:
        reason = {
            "cores": f"{self.physical_cores} physical cores",
            "affinity": f"an affinity of {self.affinity_cpus} CPU{'' if self.affinity_cpus == 1 else 's'}",
            "quota": f"a CPU quota of {self.quota_cpus or 0:g}",
        }[self.limited_by]
        return f"{self.threads} ({reason})"


def cpu_budget(pid: int | None = None, root: Path = ROOT, cpus: Collection[int] | None = None) -> CpuBudget:
    """Return the CPU budget of a process.

    Args:
        pid: The process; ``None`` for this one.
        cpus: The CPUs that its computing threads may use; ``None`` for those of its first thread, which may be
            others.
        root: Where ``/proc`` and ``/sys`` are found, for tests.

    Raises:
        ProcessLookupError: There is no such process.
    """
    allowed = _allowed(pid, root) if cpus is None else set(cpus)
    cores = physical_cores(allowed, root)
    quota, source = _quota(hierarchy("cpu", pid, root))
    threads = min(cores, max(int(quota), 1) if quota is not None else cores)
    if threads < cores:
        limited_by = "quota"
    elif len(allowed) < _online(root):
        limited_by = "affinity"
    else:
        limited_by = "cores"
    return CpuBudget(threads, cores, len(allowed), quota, source, limited_by)


def _allowed(pid: int | None, root: Path) -> set[int]:
    if root == ROOT:
        return os.sched_getaffinity(pid or 0)
    status = status_fields((root / "proc" / str(pid or "self") / "status").read_bytes())
    return parse_cpu_list(status.get("Cpus_allowed_list", ""))


def parse_cpu_list(text: str) -> set[int]:
    """Return the CPUs of a kernel list such as ``0-3,8``."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def physical_cores(cpus: set[int], root: Path = ROOT) -> int:
    """Return how many cores are behind CPUs, at least 1; two hyperthreads count once."""
    cores = {core_of(cpu, root) for cpu in cpus}
    return max(len(cores), 1)


def core_of(cpu: int, root: Path = ROOT) -> tuple[int, int]:
    """Return package and core of a CPU; without topology, as in some containers, each CPU is a core."""
    return place_of(cpu, root) or (0, cpu)


def place_of(cpu: int, root: Path = ROOT) -> tuple[int, int] | None:
    """Return package and core of a CPU; None where the kernel doesn't show them.

    Without ``/sys``, ``/proc/cpuinfo`` tells it on x86 ("physical id", "core id").
    """
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    core = read_int(topology / "core_id")
    if core is not None:
        return read_int(topology / "physical_package_id") or 0, core
    return listed_cpus(root).get(cpu)


def listed_cpus(root: Path = ROOT) -> dict[int, tuple[int, int] | None]:
    """Return the CPUs that ``/proc/cpuinfo`` lists, with package and core where it tells these."""
    found: dict[int, tuple[int, int] | None] = {}
    for block in _read(root / "proc/cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in block.split("\n"))
        numbers = {key.strip(): int(value) for key, _, value in pairs if value.strip().isdecimal()}
        if "processor" in numbers:
            core = numbers.get("core id")
            found[numbers["processor"]] = None if core is None else (numbers.get("physical id", 0), core)
    return found


def _online(root: Path) -> int:
    text = _read(root / "sys/devices/system/cpu/online")
    return len(parse_cpu_list(text)) if text else len(listed_cpus(root)) or os.cpu_count() or 1


def _quota(group: Hierarchy | None) -> tuple[float | None, str | None]:
    """Return the least quota from the process's group up to the mount, in CPUs, and where it stands."""
    found = [quota for directory in (group.upwards() if group else ()) if (quota := quota_of(directory))]
    least = min(found, key=lambda quota: quota.cpus, default=None)
    return (None, None) if least is None else (least.cpus, least.file)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
