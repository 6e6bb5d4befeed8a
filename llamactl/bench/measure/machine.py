"""The state of the machine around a measurement, and whether the figures can be trusted."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from llamactl.bench.report import Sample
from llamactl.process.cgroup import ROOT
from llamactl.process.proc_text import status_fields
from llamactl.process.small_files import read_bytes

TICK = os.sysconf("SC_CLK_TCK")
BUSY_CPUS = 0.10
STEAL_SHARE = 0.02
SPREAD = 0.05


@dataclass(frozen=True, slots=True)
class Moment:
    """What the kernel says at one moment; seconds of CPU time, ``None`` where it says nothing."""

    at: float
    busy_s: float | None
    steal_s: float | None
    own_s: float
    throttles: int | None


def moment(root: Path = ROOT, pids: Sequence[int] = ()) -> Moment:
    """Return the counts of now (proc_stat(5), times(2)); ``pids`` are further processes of our own."""
    busy = steal = None
    first = _text(root / "proc/stat").partition("\n")[0].split()
    if first[:1] == ["cpu"]:
        ticks = [int(word) for word in first[1:9]]
        # user, nice, system, idle, iowait, irq, softirq, steal
        busy, steal = sum((*ticks[:3], *ticks[5:7])) / TICK, ticks[7] / TICK
    own = os.times()
    own_s = sum(own[:4]) + sum(_cpu_s(pid, root) for pid in pids)
    return Moment(perf_counter(), busy, steal, own_s, _throttles(root))


def _cpu_s(pid: int, root: Path) -> float:
    words = _text(root / f"proc/{pid}/stat").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK if len(words) > 12 else 0.0


def _throttles(root: Path) -> int | None:
    """Return how often cores slowed down for heat; ``None`` where the driver doesn't count."""
    files = (root / "sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count")
    counts = [int(text) for file in files if (text := _text(file)).isdigit()]
    return sum(counts) if counts else None


def between(before: Moment, after: Moment) -> dict[str, float | int | None]:
    """Return what went on meanwhile: CPUs kept busy by others, the share stolen by a hypervisor, heat, load."""
    wall = max(after.at - before.at, 1e-9)
    others = steal = None
    if after.busy_s is not None and before.busy_s is not None:
        others = max((after.busy_s - before.busy_s) - (after.own_s - before.own_s), 0.0) / wall
    if after.steal_s is not None and before.steal_s is not None:
        steal = (after.steal_s - before.steal_s) / wall / (os.cpu_count() or 1)
    heat = None
    if after.throttles is not None and before.throttles is not None:
        heat = after.throttles - before.throttles
    return {
        "wall_s": wall,
        "other_busy_cpus": others,
        "steal_share": steal,
        "thermal_throttles": heat,
        "load_average": os.getloadavg()[0],
    }


def doubts(machine: dict[str, float | int | None], samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return why a measurement isn't to be trusted, one sentence each; empty if nothing speaks against it."""
    found = []
    others, steal = machine.get("other_busy_cpus"), machine.get("steal_share")
    # CPU times come in ticks: too coarse for a short test.
    long_enough = (machine.get("wall_s") or 0) > 20 / TICK
    if long_enough and others is not None and others > BUSY_CPUS:
        found.append(
            f"other processes kept {others:.2f} CPUs busy; stop them, or compare in pairs (--against)"
        )
    if long_enough and steal is not None and steal > STEAL_SHARE:
        found.append(f"the hypervisor took {steal:.0%} of the CPU time away")
    if machine.get("thermal_throttles"):
        found.append("the CPU slowed down for heat; use --delay")
    throttled = sum(sample.counters.get("throttled_ns") or 0 for sample in samples)
    if throttled:
        found.append(f"the control group's CPU quota held it back for {throttled / 1e6:.0f} ms")
    times = [sample.ns for sample in samples]
    if len(times) > 1 and (spread := statistics.stdev(times) / statistics.fmean(times)) > SPREAD:
        found.append(f"the repetitions spread by {spread:.0%}; use more (-r), or a quieter machine")
    return tuple(found)


def facts(root: Path = ROOT) -> dict[str, str | int | float | None]:
    """Return what identifies the machine and what slows it down, for comparing results."""
    cpu = root / "sys/devices/system/cpu"
    governor = _text(cpu / "cpu0/cpufreq/scaling_governor") or None
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(root),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory_bytes(root),
        "governor": governor,
        "max_frequency_khz": _number(cpu / "cpu0/cpufreq/scaling_max_freq"),
        "turbo": _turbo(root),
        "smt": _text(cpu / "smt/control") or None,
        "transparent_huge_pages": _chosen(_text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        "load_average_before": os.getloadavg()[0],
        "traced_by_pid": _traced_by(root),
    }


def standing_doubts(machine: dict[str, str | int | float | None]) -> tuple[str, ...]:
    """Return what speaks against any measurement here, before one is made."""
    found = []
    if machine["governor"] not in {None, "performance"}:
        found.append(
            f"the CPU governor is {machine['governor']}: the clock changes with the load; set performance"
        )
    if machine["traced_by_pid"]:
        found.append(
            f"process {machine['traced_by_pid']} traces this one (a debugger?): system calls are slow"
        )
    return tuple(found)


def _cpu_model(root: Path) -> str | None:
    for line in _text(root / "proc/cpuinfo").split("\n"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return None


def _memory_bytes(root: Path) -> int | None:
    words = _text(root / "proc/meminfo").partition("\n")[0].split()
    return int(words[1]) * 1024 if words[:1] == ["MemTotal:"] else None


def _turbo(root: Path) -> str | None:
    off = _text(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = _text(root / "sys/devices/system/cpu/cpufreq/boost")
    if off:
        return "off" if off == "1" else "on"
    return {"1": "on", "0": "off"}.get(boost)


def _traced_by(root: Path) -> int | None:
    return int(status_fields(read_bytes(root / "proc/self/status")).get("TracerPid", "0")) or None


def _chosen(text: str) -> str | None:
    """Return the word in brackets, as the kernel marks a choice."""
    return text.partition("[")[2].partition("]")[0] or None


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
