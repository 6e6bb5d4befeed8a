"""Whether system calls can come from BPF programs of our own (``native/bpf_programs.c``), or why not."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path
from typing import Any

from llamactl.trace.engines.native import lib
from llamactl.trace.engines.refusal import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, read_rights

PID_NAMESPACE = Path("/proc/self/ns/pid")
INITIAL_NAMESPACE = 0xEFFFFFFC
"""The first pid namespace's inode (``PROC_PID_INIT_INO`` of linux/proc_ns.h)."""
MACHINES = ("x86_64", "aarch64")


def open_calls(perf: Any, ring_bytes: int) -> str:
    """Let BPF programs record the system calls; return "" or, in half a sentence, why they can't.

    Args:
        perf: The C recorder, made without tracepoints.
        ring_bytes: The size of the programs' ring, a power of two.
    """
    if platform.machine() not in MACHINES:
        return f"they aren't made for {platform.machine()}"
    try:
        inside = PID_NAMESPACE.stat().st_ino != INITIAL_NAMESPACE
    except OSError as error:
        return f"{PID_NAMESPACE} can't be read ({error.strerror})"
    if inside:
        return "llamactl runs in a pid namespace (a container), where their process ids mean others"
    code = lib.perf_calls(perf, ring_bytes)
    return _why(-code) if code else ""


def _why(code: int) -> str:
    rights = read_rights()
    if code in (errno.EPERM, errno.EACCES):
        if not (rights.has(CAP_SYS_ADMIN) or (rights.has(CAP_BPF) and rights.has(CAP_PERFMON))):
            return "they need CAP_BPF and CAP_PERFMON: run llamactl with sudo"
        who = "a seccomp profile" if rights.seccomp else "the kernel (lockdown, or a limit on locked memory)"
        return f"{who} refuses bpf"
    if code == errno.ENOENT:
        return "the kernel has no BTF (/sys/kernel/btf/vmlinux)"
    return f"the kernel refuses them ({os.strerror(code)})"
