"""Say why the kernel refused to let us record, and what exactly helps.

Sources: ptrace(2) ("Ptrace access mode checking"), kernel Documentation/admin-guide/LSM/Yama.rst,
perf_event_open(2), capabilities(7).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llamactl.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, LlamactlError
from llamactl.process import _kernel, proc_pid
from llamactl.trace.record.ending.exit_status import status_of_zombie

CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
CAP_BPF = 39
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_TRACEFS_INTO_CONTAINER = "-v /sys/kernel/tracing:/sys/kernel/tracing:ro"


@dataclass(frozen=True, slots=True)
class Rights:
    """What decides about recording.

    Attributes:
        uid: Our effective user.
        capabilities: Our effective capabilities, a bit for each.
        seccomp: Whether a seccomp profile is in force for us.
        yama: ``kernel.yama.ptrace_scope``; None where the kernel has no Yama.
        paranoid: ``kernel.perf_event_paranoid``; None where it can't be read.
        target_uid: The user of the process to attach to; None without one.
        target_tracer: Who traces it already; 0 for nobody.
        target_tracer_name: That process's name.
    """

    uid: int
    capabilities: int
    seccomp: bool
    yama: int | None
    paranoid: int | None
    target_uid: int | None = None
    target_tracer: int = 0
    target_tracer_name: str = ""
    filtered: frozenset[str] = frozenset()
    """Calls that a seccomp filter refuses us, by what the kernel answers to impossible arguments."""

    def has(self, capability: int) -> bool:
        """Whether we have the capability."""
        return bool(self.capabilities >> capability & 1)


def read_rights(pid: int | None = None) -> Rights:
    """Read our rights from /proc, and those of the process to attach to."""
    own = proc_pid.status_of("self")
    target = proc_pid.status_of(pid) if pid else {}
    tracer = int(target.get("TracerPid", "0"))
    return Rights(
        uid=os.geteuid(),
        capabilities=int(own.get("CapEff", "0"), 16),
        seccomp=own.get("Seccomp", "0") != "0",
        yama=_number(YAMA),
        paranoid=_number(PARANOID),
        target_uid=int(target["Uid"].split()[1]) if "Uid" in target else None,
        target_tracer=tracer,
        target_tracer_name=proc_pid.status_of(tracer).get("Name", "") if tracer else "",
        filtered=filtered_calls(int(own.get("CapEff", "0"), 16))
        if own.get("Seccomp") == "2"
        else frozenset(),
    )


def filtered_calls(capabilities: int) -> frozenset[str]:
    """Return which of the calls that recording needs a seccomp filter refuses to us.

    Args:
        capabilities: Ours: without them old kernels refuse bpf before they look at its arguments.
    """
    probes = {
        "perf_event_open": _kernel.lib.llamactl_probe_perf_arguments,
        "ptrace": _kernel.lib.llamactl_probe_ptrace_arguments,
        "mount": _kernel.lib.llamactl_probe_mount_arguments,
    }
    if capabilities >> CAP_BPF & 1 or capabilities >> CAP_SYS_ADMIN & 1:
        probes["bpf"] = _kernel.lib.llamactl_probe_bpf_arguments
    return frozenset(name for name, probe in probes.items() if probe() in {errno.EPERM, errno.ENOSYS})


@cache
def setuid_notes() -> tuple[str, ...]:
    """Say what happens to setuid helpers (ptrace(2), PR_SET_NO_NEW_PRIVS); nothing where they work."""
    if read_rights().has(CAP_SYS_PTRACE):
        return ()
    return (
        "a setuid or setcap program that this one starts runs without its extra rights while it is traced",
    )


def attach_refused(pid: int, code: int, rights: Rights) -> LlamactlError:
    """Explain a failed PTRACE_SEIZE on a running process."""
    what = f"can't attach to process {pid}"
    if code == errno.ESRCH:
        return LlamactlError(f"{what}: there is no such process")
    if status_of_zombie(pid) is not None:
        return LlamactlError(f"{what}: it has ended, and its parent hasn't asked how yet")
    if rights.target_tracer:
        who = f"process {rights.target_tracer} ({rights.target_tracer_name})"
        return LlamactlError(
            f"{what}: it is already traced by {who}",
            "A process has one tracer at a time: end that one first.",
        )
    filtered = "ptrace" in rights.filtered
    if filtered or code == errno.ENOSYS or (rights.seccomp and rights.has(CAP_SYS_PTRACE)):
        return _profile_refuses(what, "ptrace")
    if rights.yama == 3:
        return LlamactlError(
            f"{what}: Yama forbids ptrace (kernel.yama.ptrace_scope is 3)",
            "It stays so until the next boot, for root too: boot with another value.",
        )
    if not rights.has(CAP_SYS_PTRACE):
        return _capability_missing(what, rights)
    return LlamactlError(
        f"{what}: {os.strerror(code)}",
        "A kernel thread, or a process of another user namespace, can't be traced.",
    )


def start_refused(code: int, rights: Rights) -> LlamactlError:
    """Explain a failed PTRACE_SEIZE on a child of ours."""
    what = "can't trace a program that was started for it"
    if rights.yama == 3:
        return LlamactlError(
            f"{what}: Yama forbids ptrace (kernel.yama.ptrace_scope is 3)",
            "It stays so until the next boot, for root too. The engine perf needs no ptrace.",
        )
    if rights.yama == 2 and not rights.has(CAP_SYS_PTRACE):
        return LlamactlError(
            f"{what}: Yama allows ptrace to CAP_SYS_PTRACE only (kernel.yama.ptrace_scope is 2)",
            "Run llamactl with sudo, or set it: sudo sysctl kernel.yama.ptrace_scope=1",
        )
    if code in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return _profile_refuses(what, "ptrace")
    return LlamactlError(f"{what}: {os.strerror(code)}")


def launch_failed(stage: str, code: int, program: str, cwd: str | None) -> LlamactlError:
    """Explain what went wrong between fork and exec."""
    reason = os.strerror(code) if code else "it ended before its program began"
    if stage == "exec":
        error = LlamactlError(f"can't run {program}: {reason}")
        error.exit_code = EXIT_NOT_FOUND if code == errno.ENOENT else EXIT_NOT_EXECUTABLE
        return error
    if stage == "chdir":
        return LlamactlError(f"can't start in {cwd}: {reason}")
    if stage in ("seccomp", "no_new_privs"):
        return LlamactlError(
            f"can't install the filter for the selected calls: {reason}",
            "Record all calls instead: -e trace=all",
        )
    return LlamactlError(f"can't start {program} ({stage}): {reason}")


def perf_refused(code: int, rights: Rights) -> LlamactlError:
    """Explain a failed perf_event_open, or that there is no right to try it."""
    what = "the engine perf can't be used"
    if code == errno.ENOSYS:
        return LlamactlError(f"{what}: the kernel has no perf_event_open, or a seccomp profile hides it")
    if code in (errno.EPERM, errno.EACCES):
        if "perf_event_open" in rights.filtered or (rights.seccomp and _may_use_perf(rights)):
            return _profile_refuses(what, "perf_event_open")
        return LlamactlError(f"{what}: {_perf_needs(rights)}", _more_rights(rights, "PERFMON"))
    if code == errno.EMFILE:
        return LlamactlError(
            f"{what}: too many files for the program's threads on all CPUs", "Raise the limit: ulimit -n"
        )
    return LlamactlError(f"{what}: {os.strerror(code)}")


def programs_refused(code: int, rights: Rights) -> str:
    """Say in half a sentence why our BPF programs weren't loaded (bpf(2))."""
    if code in (errno.EPERM, errno.EACCES):
        if not rights.has(CAP_SYS_ADMIN) and not (rights.has(CAP_BPF) and rights.has(CAP_PERFMON)):
            if "bpf" in rights.filtered:
                return "a seccomp profile refuses bpf"
            if rights.uid == 0:
                return "they need CAP_BPF and CAP_PERFMON, which root hasn't got here (--cap-add BPF --cap-add PERFMON)"
            return "they need CAP_BPF and CAP_PERFMON; run llamactl with sudo"
        who = "a seccomp profile" if rights.seccomp else "the kernel (lockdown, or a limit on locked memory)"
        return f"{who} refuses bpf"
    if code == errno.ENOENT:
        return "the kernel has no /sys/kernel/btf/vmlinux"
    return f"the kernel refuses them ({os.strerror(code)})"


def tracefs_refused(code: int, rights: Rights) -> LlamactlError:
    """Explain that the numbers of the tracepoints can't be read; what would refuse perf after that comes first."""
    what = "the engine perf can't be used"
    if "perf_event_open" in rights.filtered:
        return _profile_refuses(what, "perf_event_open")
    state = "isn't mounted" if code == errno.ENOENT else f"can't be read ({os.strerror(code)})"
    if not _may_use_perf(rights) and rights.uid == 0:
        return LlamactlError(
            f"{what}: {_perf_needs(rights)}, and tracefs {state}",
            f"Start the container with --cap-add PERFMON {_TRACEFS_INTO_CONTAINER}.",
        )
    if rights.uid == 0:
        why = (
            "a seccomp profile refuses mount"
            if "mount" in rights.filtered
            else "mounting it needs CAP_SYS_ADMIN"
        )
        return LlamactlError(
            f"{what}: tracefs {state}, and {why}" if code == errno.ENOENT else f"{what}: tracefs {state}",
            f"Start the container with {_TRACEFS_INTO_CONTAINER}.",
        )
    return LlamactlError(
        f"{what}: tracefs {state}",
        "Run llamactl with sudo, or mount it for your group: "
        "sudo mount -o remount,mode=750,gid=$(id -g) /sys/kernel/tracing",
    )


def uprobes_refused(why: str, rights: Rights) -> LlamactlError:
    """Explain that uprobes can't be defined."""
    if rights.uid != 0:
        hint = "Run llamactl with sudo."
    elif not rights.has(CAP_SYS_ADMIN):
        hint = "Root needs CAP_SYS_ADMIN and tracefs for it: run llamactl trace -p outside of the container."
    elif "mount" in rights.filtered:
        hint = f"A seccomp profile refuses mount: start the container with {_TRACEFS_INTO_CONTAINER}."
    else:
        hint = "Mount it: mount -t tracefs tracefs /sys/kernel/tracing"
    return LlamactlError(f"uprobes can't be defined, tracefs is out of reach: {why}", hint)


def _may_use_perf(rights: Rights) -> bool:
    return rights.has(CAP_PERFMON) or rights.has(CAP_SYS_ADMIN)


def _perf_needs(rights: Rights) -> str:
    missing = ", which root hasn't got here" if rights.uid == 0 else ""
    return (
        f"system-call tracepoints need CAP_PERFMON{missing} (kernel.perf_event_paranoid is {rights.paranoid})"
    )


def _more_rights(rights: Rights, capability: str) -> str:
    """Return how to get a capability: who is root already can't get it by sudo."""
    if rights.uid == 0:
        return f"Start the container with --cap-add {capability}."
    return f"Run llamactl with sudo; in a container give it --cap-add {capability}."


def _capability_missing(what: str, rights: Rights) -> LlamactlError:
    more = _more_rights(rights, "SYS_PTRACE")
    if rights.target_uid is not None and rights.target_uid != rights.uid:
        return LlamactlError(
            f"{what}: it belongs to user {rights.target_uid}, llamactl runs as user {rights.uid}",
            "Run llamactl as that user, or with sudo; in a container give it --cap-add SYS_PTRACE."
            if rights.uid
            else f"Run llamactl as that user. {more}",
        )
    own = "; or set it on the host" if rights.uid == 0 else " Or set it"
    lower = f"{more.rstrip('.') if rights.uid == 0 else more}{own}: sudo sysctl kernel.yama.ptrace_scope=0"
    if rights.yama == 2:
        return LlamactlError(
            f"{what}: Yama allows it to CAP_SYS_PTRACE only (kernel.yama.ptrace_scope is 2)", lower
        )
    if rights.yama == 1:
        return LlamactlError(
            f"{what}: Yama allows it to the parent only (kernel.yama.ptrace_scope is 1)",
            f"Start the program with llamactl trace -- PROGRAM, which needs no right. {lower}",
        )
    if rights.seccomp:
        return _profile_refuses(what, "ptrace")
    return LlamactlError(
        f"{what}: it has more rights than llamactl, or hides its memory (PR_SET_DUMPABLE, a setuid program)",
        more,
    )


def _profile_refuses(what: str, call: str) -> LlamactlError:
    capability = "PERFMON" if call == "perf_event_open" else "SYS_PTRACE"
    return LlamactlError(
        f"{what}: a seccomp profile refuses {call}",
        f"Start the container with --cap-add {capability}, or with a profile that allows {call} "
        "(--security-opt seccomp=PROFILE.json).",
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
