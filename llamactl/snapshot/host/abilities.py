"""What the kernel and the C library let llamactl do here, what a missing ability costs, how to get it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llamactl.process import _kernel, kernel
from llamactl.process.small_files import read_int, read_text
from llamactl.snapshot.host.capabilities import capabilities, status_field

YES: Final = "yes"
LIMITED: Final = "limited"
NO: Final = "no"


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that llamactl uses where it can.

    Attributes:
        name: What it is called.
        state: ``yes``, ``limited`` or ``no``.
        evidence: What was tried or read, with its result.
        cost: What it costs to do without; empty where nothing is missing.
        remedy: How to get it; empty where nothing is missing.
    """

    name: str
    state: str
    evidence: str
    cost: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """Where to look and how to try; tests put their own in.

    Attributes:
        root: Holds ``proc`` and ``sys``.
        attempt: Takes the name of a C function of ``native/snapshot/kernel.h`` and returns its errno.
    """

    root: Path = Path("/")
    attempt: Callable[[str], int] = lambda name: int(getattr(_kernel.lib, f"llamactl_probe_{name}")())


def abilities(probe: Probe | None = None) -> tuple[Ability, ...]:
    """Try everything once; takes about a millisecond, and stops no process but a child made for it."""
    probe = probe or Probe()
    return tuple(look(probe) for look in LOOKS)


def _said(error: int) -> str:
    return f"refused: {errno.errorcode.get(error, error)}"


def _filter_says(probe: Probe, what: str) -> str:
    """Say that a seccomp filter refuses a call, where it does so whatever the arguments are."""
    if status_field(probe.root, "Seccomp") != "2":
        return ""
    refused = probe.attempt(f"{what}_arguments") in {errno.EPERM, errno.ENOSYS}
    return " by a seccomp filter" if refused else ""


def _is_root(probe: Probe) -> bool:
    return (status_field(probe.root, "Uid") or "").split()[1:2] == ["0"]


def _ptrace(probe: Probe) -> Ability:
    cost = "trace can't follow system calls with the ptrace engine, and can't attach"
    error = probe.attempt("ptrace")
    scope = read_int(probe.root / "proc/sys/kernel/yama/ptrace_scope")
    yama = "no Yama" if scope is None else f"Yama ptrace_scope {scope}"
    if error:
        by = _filter_says(probe, "ptrace")
        remedy = "In a container: --cap-add SYS_PTRACE, or a seccomp profile that allows ptrace."
        return Ability("ptrace", NO, f"{_said(error)}{by}; {yama}", cost, remedy)
    if scope and scope > 0 and "CAP_SYS_PTRACE" not in capabilities(probe.root):
        cost = "programs that llamactl starts can be traced, running ones (trace -p) can't"
        other = "start the container with --cap-add SYS_PTRACE" if _is_root(probe) else "run as root"
        remedy = f"Lower it: sysctl kernel.yama.ptrace_scope=0, or {other}."
        return Ability("ptrace", LIMITED, f"a child can be traced; {yama}", cost, remedy)
    return Ability("ptrace", YES, f"a child was traced; {yama}")


def _seccomp(probe: Probe) -> Ability:
    error = probe.attempt("seccomp_trace")
    if error:
        cost = "the ptrace engine stops at every system call: programs take 1.5 to 5 times as long"
        return Ability(
            "seccomp filter", NO, _said(error), cost, "Needs Linux 4.14 with CONFIG_SECCOMP_FILTER."
        )
    filtered = status_field(probe.root, "Seccomp") == "2"
    return Ability("seccomp filter", YES, "a filter is already in force" if filtered else "may be installed")


def _perf(probe: Probe) -> Ability:
    paranoid = read_int(probe.root / "proc/sys/kernel/perf_event_paranoid")
    level = "perf_event_paranoid " + ("unknown" if paranoid is None else str(paranoid))
    held = capabilities(probe.root) & {"CAP_PERFMON", "CAP_SYS_ADMIN"}
    by = f"; {' and '.join(sorted(held))} held" if held else "; CAP_PERFMON not held"
    error = probe.attempt("perf_cpu")
    tracepoints = _tracepoints(probe)
    if not error and tracepoints:
        return Ability("perf events", YES, f"opened on a whole CPU, {tracepoints}; {level}{by}")
    cost = "trace falls back to ptrace: 10 to 20 µs for each call that is followed, instead of 2"
    if not error:
        remedy = (
            "In a container: -v /sys/kernel/tracing:/sys/kernel/tracing:ro; else: mount -t tracefs tracefs"
            " /sys/kernel/tracing"
            if _is_root(probe)
            else "Mount tracefs on /sys/kernel/tracing (root) and make it readable, or run as root."
        )
        evidence = f"no system-call tracepoints in tracefs; {level}{by}"
        return Ability("perf events", LIMITED, evidence, cost, remedy)
    by_filter = _filter_says(probe, "perf")
    own = not probe.attempt("perf_self")
    if by_filter:
        remedy = "In a container: --cap-add PERFMON, or a profile that allows perf_event_open (--security-opt seccomp=…)."
    elif _is_root(probe):
        remedy = "Root needs CAP_PERFMON: in a container --cap-add PERFMON."
    else:
        remedy = "Run as root, give CAP_PERFMON, or: sysctl kernel.perf_event_paranoid=-1."
    allowed = ", but allowed on one's own processes" if own else ""
    evidence = f"{_said(error)}{by_filter}{allowed}; {level}{by}"
    return Ability("perf events", LIMITED if own else NO, evidence, cost, remedy)


def _tracepoints(probe: Probe) -> str:
    """Return where the numbers of the system-call tracepoints come from; nothing where they can't be had."""
    places = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
    for place in places:
        if read_int(probe.root / place / "events/raw_syscalls/sys_enter/id"):
            return f"tracepoints in /{place}"
    known = "tracefs" in (read_text(probe.root / "proc/filesystems") or "").split()
    may_mount = "CAP_SYS_ADMIN" in capabilities(probe.root)
    return "tracefs can be mounted" if known and may_mount else ""


def _pagemap_scan(_probe: Probe) -> Ability:
    found = kernel.probe_pagemap_scan()
    if found.works:
        return Ability("PAGEMAP_SCAN", YES, "tried on this process")
    cost = "residency of a mapping is read page by page: 8 bytes for every 4 KiB"
    return Ability("PAGEMAP_SCAN", NO, _said(found.error), cost, "Needs Linux 6.7.")


def _cachestat(_probe: Probe) -> Ability:
    found = kernel.probe_cachestat()
    if found.works:
        return Ability("cachestat", YES, "tried on a file in memory")
    cost = "mincore is asked instead, 5 times slower, and what was evicted stays unknown"
    remedy = "Needs Linux 6.5"
    remedy += ", and a container's seccomp profile that knows it." if found.error == errno.EPERM else "."
    return Ability("cachestat", NO, _said(found.error), cost, remedy)


def _audit(_probe: Probe) -> Ability:
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        version = None
    if version:
        return Ability("LD_AUDIT", YES, version)
    cost = "trace can't see llama_* calls and the GIL through the agent, only through breakpoints"
    return Ability("LD_AUDIT", NO, "the C library isn't glibc", cost, "Use an image with glibc, not musl.")


LOOKS: Final[tuple[Callable[[Probe], Ability], ...]] = (
    _ptrace,
    _seccomp,
    _perf,
    _pagemap_scan,
    _cachestat,
    _audit,
)
"""An ability is one function here."""
