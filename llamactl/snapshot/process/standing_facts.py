"""What is told of threads that stand still."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.process import proc_pid
from llamactl.process.files.holders import process_name
from llamactl.process.threads.waiting import parse_syscall

REASONS = frozenset({
    "lock", "full", "no-writer", "no-answer", "connecting", "file", "fifo", "page", "mutex", "mutex-orphan", "deadlock",
    "gil", "pool", "stopped",
})  # fmt: skip
"""What :attr:`Standing.why` may be."""


@dataclass(frozen=True, slots=True)
class End:
    """Somebody at the other end.

    ``thread`` and ``fd`` are None where there is none to name; ``doing`` is what it did when it was looked at:
    ``running``, ``stopped``, the name of a system call, or empty for unknown.
    """

    pid: int
    name: str
    thread: int | None = None
    fd: int | None = None
    doing: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One thread that may stand.

    ``others`` stand for the same reason without a case of their own; ``seconds`` is the time that was watched,
    None where the thread's own sleep tells.
    """

    why: str
    thread: int
    name: str
    call: str
    object: str
    ends: tuple[End, ...] = ()
    others: tuple[int, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Threads that stand in one call for one reason.

    ``why`` is ``lock``, ``full`` (nobody takes what is written), ``no-writer``, ``no-answer``, ``connecting``,
    ``file`` (a file system doesn't answer), ``fifo`` (nobody opens its other end), ``page`` (it doesn't deliver
    a page), ``mutex``, ``mutex-orphan`` (its holder isn't in this process), ``deadlock``, ``gil``, ``pool`` (its
    threads aren't in this process) or ``stopped``. ``seconds`` is since when, ``at_least`` where it may be longer;
    None is unknown. ``ends`` is empty where nobody could be seen.
    """

    why: str
    threads: tuple[int, ...]
    name: str
    call: str
    object: str
    seconds: float | None
    at_least: bool
    ends: tuple[End, ...]


def process_end(pid: int, fd: int | None = None) -> End:
    """Return a process as an end, with what its first thread does."""
    return End(pid, process_name(pid), None, fd, doing(pid, pid))


def thread_end(pid: int, thread: int) -> End:
    """Return a thread of a process as an end."""
    name = proc_pid.name_of(pid, thread).decode("utf-8", "surrogateescape")
    return End(pid, name, thread, None, doing(pid, thread))


def doing(pid: int, thread: int) -> str:
    """Return what a thread does right now: a call's name, ``running``, ``stopped``, or nothing."""
    stat = proc_pid.stat_of(pid, thread)
    text = proc_pid.read_or_nothing(pid, f"task/{thread}/syscall").decode("ascii", "replace")
    if not stat or not text:
        return ""
    if stat[0] in "Tt":
        return "stopped"
    wait = parse_syscall(text)
    return wait.call if wait else "running" if stat[0] == "R" else ""
