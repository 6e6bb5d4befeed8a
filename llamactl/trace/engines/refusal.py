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
from llamactl.snapshot.proc_text import status_fields

CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
CAP_BPF = 39
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


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

    def has(self, capability: int) -> bool:
        """Whether we have the capability."""
        return bool(self.capabilities >> capability & 1)


def read_rights(pid: int | None = None) -> Rights:
    """Read our rights from /proc, and those of the process to attach to."""
    own = _status("self")
    target = _status(str(pid)) if pid else {}
    tracer = int(target.get("TracerPid", "0"))
    return Rights(
        uid=os.geteuid(),
        capabilities=int(own.get("CapEff", "0"), 16),
        seccomp=own.get("Seccomp", "0") != "0",
        yama=_number(YAMA),
        paranoid=_number(PARANOID),
        target_uid=int(target["Uid"].split()[1]) if "Uid" in target else None,
        target_tracer=tracer,
        target_tracer_name=_status(str(tracer)).get("Name", "") if tracer else "",
    )


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
    if rights.target_tracer:
        who = f"process {rights.target_tracer} ({rights.target_tracer_name})"
        return LlamactlError(
            f"{what}: it is already traced by {who}",
            "A process has one tracer at a time: end that one first.",
        )
    if code == errno.ENOSYS or (rights.seccomp and rights.has(CAP_SYS_PTRACE)):
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
        if rights.seccomp and (rights.has(CAP_PERFMON) or rights.has(CAP_SYS_ADMIN)):
            return _profile_refuses(what, "perf_event_open")
        return LlamactlError(
            f"{what}: system-call tracepoints need CAP_PERFMON (kernel.perf_event_paranoid is {rights.paranoid})",
            "Run llamactl with sudo; in a container give it --cap-add PERFMON.",
        )
    if code == errno.EMFILE:
        return LlamactlError(
            f"{what}: too many files for the program's threads on all CPUs", "Raise the limit: ulimit -n"
        )
    return LlamactlError(f"{what}: {os.strerror(code)}")


def programs_refused(code: int, rights: Rights) -> str:
    """Say in half a sentence why our BPF programs weren't loaded (bpf(2))."""
    if code in (errno.EPERM, errno.EACCES):
        if not rights.has(CAP_SYS_ADMIN) and not (rights.has(CAP_BPF) and rights.has(CAP_PERFMON)):
            return "they need CAP_BPF and CAP_PERFMON; run llamactl with sudo"
        who = "a seccomp profile" if rights.seccomp else "the kernel (lockdown, or a limit on locked memory)"
        return f"{who} refuses bpf"
    if code == errno.ENOENT:
        return "the kernel has no /sys/kernel/btf/vmlinux"
    return f"the kernel refuses them ({os.strerror(code)})"


def tracefs_refused(code: int) -> LlamactlError:
    """Explain that the numbers of the tracepoints can't be read."""
    return LlamactlError(
        f"the engine perf can't be used: tracefs can't be read ({os.strerror(code)})",
        "Run llamactl with sudo, or mount it for your group: "
        "sudo mount -o remount,mode=750,gid=$(id -g) /sys/kernel/tracing",
    )


def _capability_missing(what: str, rights: Rights) -> LlamactlError:
    if rights.target_uid is not None and rights.target_uid != rights.uid:
        return LlamactlError(
            f"{what}: it belongs to user {rights.target_uid}, llamactl runs as user {rights.uid}",
            "Run llamactl as that user, or with sudo; in a container give it --cap-add SYS_PTRACE.",
        )
    if rights.yama == 2:
        return LlamactlError(
            f"{what}: Yama allows it to CAP_SYS_PTRACE only (kernel.yama.ptrace_scope is 2)",
            "Run llamactl with sudo, or set it: sudo sysctl kernel.yama.ptrace_scope=0",
        )
    if rights.yama == 1:
        return LlamactlError(
            f"{what}: Yama allows it to the parent only (kernel.yama.ptrace_scope is 1)",
            "Start the program with llamactl trace -- PROGRAM, which needs no right; or run llamactl with "
            "sudo; or set it: sudo sysctl kernel.yama.ptrace_scope=0",
        )
    if rights.seccomp:
        return _profile_refuses(what, "ptrace")
    return LlamactlError(
        f"{what}: it has more rights than llamactl, or hides its memory (PR_SET_DUMPABLE, a setuid program)",
        "Run llamactl with sudo; in a container give it --cap-add SYS_PTRACE.",
    )


def _profile_refuses(what: str, call: str) -> LlamactlError:
    capability = "PERFMON" if call == "perf_event_open" else "SYS_PTRACE"
    return LlamactlError(
        f"{what}: a seccomp profile refuses {call}",
        f"Start the container with --cap-add {capability}, or with a profile that allows {call} "
        "(--security-opt seccomp=PROFILE.json).",
    )


def _status(pid: str) -> dict[str, str]:
    try:
        return status_fields(Path("/proc", pid, "status").read_bytes())
    except OSError:
        return {}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
