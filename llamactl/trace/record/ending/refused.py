"""What limits a process whose calls are refused, looked up when the first refusal is seen, for the capture.

A capture is read elsewhere and later: which mount option, group, resource limit or filter refused a call is known
only while the process is there.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.files.mounts import read_mounts
from llamactl.process.groups import pids_group_at
from llamactl.process.limits import read_limits
from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import stat_fields, status_fields
from llamactl.trace.capture.record import Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PROCESSES = 16
MOST_MOUNTS = 500
_ERRORS = np.array([
    -number
    for number in (
        errno.EPERM, errno.EACCES, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT,
        errno.EROFS,
    )
], np.int64)  # fmt: skip
_NO_LIMIT_OF_PROCESSES = 1 << 21 | 1 << 24
"""CAP_SYS_ADMIN and CAP_SYS_RESOURCE: RLIMIT_NPROC isn't for those who have one (getrlimit(2))."""
_OPTIONS = frozenset({"noexec", "ro"})
_FLAGS, _EXITING = 6, 0x4
"""Where ``stat`` has the flags, from the state on (proc_pid_stat(5)), and PF_EXITING (linux/sched.h)."""


@dataclass(slots=True)
class RefusedLimits:
    """The limits of the processes that were refused something; ``facts`` is what the capture keeps."""

    facts: dict[int, dict[str, Any]] = field(default_factory=dict)

    def saw(self, records: NDArray[np.void]) -> None:
        """Look up the limits of each process that fails for the first time."""
        if len(self.facts) >= MOST_PROCESSES:
            return
        failed = records[(records["kind"] == Kind.SYSCALL) & np.isin(records["ret"], _ERRORS)]
        for pid in np.unique(failed["pid"]).tolist():
            if pid not in self.facts and len(self.facts) < MOST_PROCESSES:
                self.facts[pid] = _limits_of(pid)

    def finish(self) -> list[dict[str, Any]]:
        """Return the facts, with what the groups have refused by now."""
        for facts in self.facts.values():
            group = facts.get("pids_group")
            if group:
                group["refused"] = pids_group_at(Path(group["path"])).refused
        return list(self.facts.values())


def _limits_of(pid: int) -> dict[str, Any]:
    """Return what bounds a process; of ours, which it inherits, where it has ended already."""
    for number in (pid, os.getpid()):
        try:
            with ProcessDir.open(number) as process:
                limits = read_limits(process)
                status = status_fields(process.read("status"))
                flags = int(stat_fields(process.read("stat"))[1][_FLAGS])
        except (OSError, LlamactlError, ValueError):
            continue
        if status.get("State", "Z")[:1] in "ZX" or flags & _EXITING:  # It has left its groups.
            continue
        mounts = read_mounts(proc_pid.place(number))
        group = limits.pids
        return {
            "pid": pid,
            "inherited": number != pid,
            "exempt": bool(int(status.get("CapEff", "0"), 16) & _NO_LIMIT_OF_PROCESSES),
            "seccomp": status.get("Seccomp") == "2",
            "resources": {one.name: one.soft for one in limits.resources},
            "pids_group": None
            if group is None
            else {"path": group.path, "limit": group.limit, "refused": group.refused},
            # Those with other options count, too: what is mounted deeper decides.
            "mounts": [
                [mount.place, mount.kind, sorted(mount.options & _OPTIONS)] for mount in mounts[-MOST_MOUNTS:]
            ],
        }
    return {"pid": pid}
