"""Which process it is: numbers, owner, command, state, start, and the environment it was started with."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llamactl.process.arguments import without_prompts
from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import proc_lines, stat_fields, status_fields

_STATES = {
    "R": "running", "S": "sleeping", "D": "waiting for a device", "T": "stopped", "t": "stopped by a tracer",
    "Z": "ended, not yet collected", "X": "dead", "I": "idle", "P": "parked",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """One process. ``started_s`` is Unix time; ``namespace_pids`` go from our namespace inwards."""

    pid: int
    parent: int
    name: str
    command: tuple[str, ...]
    executable: str | None
    working_directory: str | None
    state: str
    user: str
    uid: int
    started_s: float | None
    start_ticks: int
    namespace_pids: tuple[int, ...]
    traced_by: int | None


def read_identity(process: ProcessDir) -> Identity:
    """Return what everybody may know of a process, and what is allowed of the rest.

    Raises:
        OSError: The process has ended.
    """
    name, stat = stat_fields(process.read("stat"))
    status = status_fields(process.read("status"))
    uid = int(status["Uid"].split()[1])
    return Identity(
        pid=process.pid,
        parent=int(stat[1]),
        name=name,
        command=without_prompts([part for part in process.text("cmdline").split("\0") if part]),
        executable=_link(process, "exe", "executable"),
        working_directory=_link(process, "cwd", "working directory"),
        state=_STATES.get(stat[0], stat[0]),
        user=_user(uid),
        uid=uid,
        started_s=_started(int(stat[19])),
        start_ticks=int(stat[19]),
        namespace_pids=tuple(map(int, status.get("NSpid", "").split())),
        traced_by=int(status.get("TracerPid", "0")) or None,
    )


def read_environment(process: ProcessDir) -> Mapping[str, str] | None:
    """Return the environment the process was started with; None when it may not be read.

    What the process changed itself since isn't in it (proc_pid_environ(5)).
    """
    try:
        text = process.text("environ")
    except OSError as error:
        process.refuse("process", error, "environment")
        return None
    return dict(part.split("=", 1) for part in text.split("\0") if "=" in part)


def _link(process: ProcessDir, name: str, what: str) -> str | None:
    try:
        return process.link(name)
    except OSError as error:
        process.refuse("process", error, what)
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _started(ticks: int) -> float | None:
    try:
        lines = proc_lines(Path("/proc/stat").read_bytes())
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    except (OSError, StopIteration, ValueError):
        return None
    return boot + ticks / os.sysconf("SC_CLK_TCK")
