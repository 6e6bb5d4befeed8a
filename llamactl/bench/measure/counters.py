"""What the kernel counts for this process: CPU time, faults, switches, reads, instructions, system calls."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llamactl.bench._bench import ffi, lib
from llamactl.bench.measure.run_delay import RunDelay
from llamactl.engine import rpc_traffic
from llamactl.process import proc_pid
from llamactl.process.cgroup import hierarchy
from llamactl.process.cpu_quota import parse_cpu_stat
from llamactl.process.proc_text import status_fields

MICROSECOND_NS = 1_000
PERF = ("instructions", "cycles", "system_calls")
RPC = ("rpc_sent_bytes", "rpc_received_bytes", "rpc_round_trips", "rpc_waited_ns")
"""Of all workers together."""
NAMES = (
    "cpu_ns", "user_ns", "system_ns", "minor_faults", "major_faults", "voluntary_switches", "involuntary_switches",
    "run_delay_ns", "read_calls", "write_calls", "disk_read_bytes", "disk_write_bytes", "throttled_ns", *RPC, *PERF,
)  # fmt: skip
TRACEPOINT_ID = "events/raw_syscalls/sys_enter/id"
TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
IO_FIELDS = {
    "syscr": "read_calls",
    "syscw": "write_calls",
    "read_bytes": "disk_read_bytes",
    "write_bytes": "disk_write_bytes",
}

WorkerCounts = dict[str, dict[str, int]]
"""By worker: ``sent_bytes``, ``received_bytes``, ``round_trips`` and ``waited_ns``."""


@dataclass(slots=True)
class Counters:
    """The open counters of this process; threads started after opening count too.

    Attributes:
        missing: Why a counter isn't there.
        run_delay: Read by whoever times, next to the clock: a wait that falls between the two would be
            counted on one side only.
    """

    missing: dict[str, str] = field(default_factory=dict)
    _perf: dict[str, int] = field(default_factory=dict)
    _throttled: Callable[[], int | None] = field(default=lambda: None)
    run_delay: RunDelay = field(default_factory=RunDelay)
    _own: dict[str, int] = field(default_factory=dict)
    _workers: tuple[str, ...] = ()

    @classmethod
    def open(cls, workers: tuple[str, ...] = ()) -> Counters:
        """Open what this machine has (perf_event_open(2)); what it hasn't is named with the reason.

        Args:
            workers: Addresses whose traffic is counted.
        """
        counters = cls(_workers=workers)
        counters._open("instructions", lib.PERF_TYPE_HARDWARE, lib.PERF_COUNT_HW_INSTRUCTIONS)
        counters._open("cycles", lib.PERF_TYPE_HARDWARE, lib.PERF_COUNT_HW_CPU_CYCLES)
        counters._open_system_calls()
        counters._throttled = _throttled_reader()
        if counters._throttled() is None:
            counters.missing["throttled_ns"] = "the process's control group has no cpu.stat"
        if not counters.run_delay.available:
            counters.missing["run_delay_ns"] = "the kernel keeps no schedstat (CONFIG_SCHED_INFO)"
        counters._calibrate()
        return counters

    def _calibrate(self) -> None:
        """Learn how many calls reading the counters makes itself, so that they can be taken off."""
        self.read()
        own = difference(self.read(), self.read())
        self._own = {name: own[name] or 0 for name in ("read_calls", "system_calls")}
        reason = rpc_traffic.refusal() if self._workers else "there are no workers (--rpc)"
        if reason:
            self.missing.update(dict.fromkeys(RPC, reason))

    def since(self, before: dict[str, int | None], other_reads: int = 0) -> dict[str, int | None]:
        """Return what was counted since :meth:`read` gave ``before``, without the calls of reading.

        Args:
            before: The earlier counts.
            other_reads: How often something else was read in between that isn't part of the work.
        """
        counts = difference(before, self.read())
        for name, own in self._own.items():
            counted = counts[name]
            if counted is not None:
                counts[name] = max(counted - own - other_reads, 0)
        return counts

    def _open(self, name: str, kind: int, config: int, *, exclude_kernel: bool = True) -> None:
        fd = lib.llamactl_counter_open(kind, config, exclude_kernel)
        if fd < 0:
            self.missing[name] = _reason(-fd)
        else:
            self._perf[name] = fd

    def _open_system_calls(self) -> None:
        for root in TRACEFS:
            try:
                config = int((root / TRACEPOINT_ID).read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue
            self._open("system_calls", lib.PERF_TYPE_TRACEPOINT, config, exclude_kernel=False)
            return
        self.missing["system_calls"] = "tracefs isn't mounted or isn't readable"

    def read(self) -> dict[str, int | None]:
        """Return all counts since the process began or the counter was opened, by :data:`NAMES`."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        values: dict[str, int | None] = dict.fromkeys(NAMES)
        values.update(
            # The split into user and system is the kernel's estimate; the sum is exact.
            cpu_ns=time.process_time_ns(),
            user_ns=round(usage.ru_utime * 1e6) * MICROSECOND_NS,
            system_ns=round(usage.ru_stime * 1e6) * MICROSECOND_NS,
            minor_faults=usage.ru_minflt,
            major_faults=usage.ru_majflt,
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            throttled_ns=self._throttled(),
        )
        values.update(_rpc_totals(self.workers()))
        values.update(_io())
        values.update({name: _count(fd) for name, fd in self._perf.items()})
        return values

    def workers(self) -> WorkerCounts:
        """Return what passed to and from each worker so far, by endpoint; empty where it isn't counted."""
        return {one.endpoint: _traffic_values(one) for one in rpc_traffic.traffic(self._workers) or ()}

    def close(self) -> None:
        """Close the counters; a second time does nothing."""
        while self._perf:
            os.close(self._perf.popitem()[1])
        self.run_delay.close()


def difference(before: dict[str, int | None], after: dict[str, int | None]) -> dict[str, int | None]:
    """Return what was counted in between; ``None`` where either is unknown."""
    return {
        name: None if after[name] is None or before.get(name) is None else after[name] - before[name]  # type: ignore[operator]
        for name in after
    }


def workers_since(before: WorkerCounts, after: WorkerCounts) -> WorkerCounts:
    """Return what passed to and from each worker in between."""
    return {
        endpoint: {name: value - before[endpoint][name] for name, value in values.items()}
        for endpoint, values in after.items()
    }


def _traffic_values(traffic: rpc_traffic.WorkerTraffic) -> dict[str, int]:
    return {name.removeprefix("rpc_"): getattr(traffic, name.removeprefix("rpc_")) for name in RPC}


def _rpc_totals(workers: WorkerCounts) -> dict[str, int | None]:
    if not workers:
        return {}
    return {name: sum(values[name.removeprefix("rpc_")] for values in workers.values()) for name in RPC}


def _count(fd: int) -> int | None:
    """Return a perf counter, scaled up where the hardware shared it (perf_event_open(2))."""
    value, enabled, running = (ffi.new("uint64_t *") for _ in range(3))
    if lib.llamactl_counter_read(fd, value, enabled, running) or not running[0]:
        return None
    return int(value[0] * enabled[0] // running[0]) if enabled[0] != running[0] else int(value[0])


def _reason(number: int) -> str:
    known = {
        errno.ENOENT: "this machine has no such hardware counter (a virtual machine?)",
        errno.EOPNOTSUPP: "this machine has no such hardware counter (a virtual machine?)",
        errno.EACCES: "perf events aren't allowed (kernel.perf_event_paranoid, CAP_PERFMON)",
        errno.EPERM: "perf events aren't allowed (kernel.perf_event_paranoid, CAP_PERFMON)",
        errno.ENOSYS: "the kernel has no perf events, or a container hides them",
    }
    return known.get(number, os.strerror(number))


def _io() -> dict[str, int | None]:
    """Return /proc/self/io (proc_pid_io(5)); nothing where it can't be read."""
    fields = status_fields(proc_pid.read_or_nothing("self", "io"))
    return {IO_FIELDS[key]: int(value) for key, value in fields.items() if key in IO_FIELDS}


def _throttled_reader() -> Callable[[], int | None]:
    """Return what reads how long the control group was held back by its quota (cgroups(7), ``cpu.stat``)."""
    group = hierarchy("cpu")
    if group is None:
        return lambda: None
    file = group.group / "cpu.stat"
    return lambda: throttled_ns(file)


def throttled_ns(file: Path) -> int | None:
    """Return the throttled time of a ``cpu.stat``: ``throttled_usec`` in v2, ``throttled_time`` (ns) in v1."""
    try:
        found = parse_cpu_stat(file.read_bytes())
    except OSError:
        return None
    return None if found is None else found.throttled_ns
