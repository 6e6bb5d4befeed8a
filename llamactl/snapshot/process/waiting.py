"""What a thread waits for: its system call, the descriptor or futex it names, and the kernel's place.

``/proc/PID/task/TID/syscall`` shows number, arguments, stack pointer and program counter of a blocked
thread without stopping it (proc_pid_syscall(5)).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

# Calls in which threads sleep: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64.
_X86_64 = {
    0: "read", 1: "write", 7: "poll", 16: "ioctl", 17: "pread64", 19: "readv", 23: "select",
    24: "sched_yield", 34: "pause", 35: "nanosleep", 42: "connect", 43: "accept", 44: "sendto",
    45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 61: "wait4", 65: "semop", 70: "msgrcv", 72: "fcntl",
    73: "flock", 74: "fsync", 75: "fdatasync", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 202: "futex",
    208: "io_getevents", 220: "semtimedop", 230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid",
    270: "pselect6", 271: "ppoll", 281: "epoll_pwait", 288: "accept4", 299: "recvmmsg",
    426: "io_uring_enter", 441: "epoll_pwait2", 449: "futex_waitv",
}  # fmt: skip
_ARM64 = {
    20: "epoll_create1", 22: "epoll_pwait", 25: "fcntl", 29: "ioctl", 32: "flock", 63: "read", 64: "write",
    65: "readv", 67: "pread64", 72: "pselect6", 73: "ppoll", 82: "fsync", 83: "fdatasync", 95: "waitid",
    98: "futex", 101: "nanosleep", 115: "clock_nanosleep", 124: "sched_yield", 133: "rt_sigsuspend",
    137: "rt_sigtimedwait", 188: "msgrcv", 192: "semtimedop", 193: "semop", 202: "accept", 203: "connect",
    206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg", 242: "accept4", 243: "recvmmsg",
    260: "wait4", 426: "io_uring_enter", 441: "epoll_pwait2", 449: "futex_waitv",
}  # fmt: skip
_CALLS = {"x86_64": _X86_64, "aarch64": _ARM64}.get(os.uname().machine, {})
_ON_DESCRIPTOR = frozenset({
    "read", "write", "pread64", "readv", "ioctl", "accept", "accept4", "connect", "sendto", "recvfrom",
    "sendmsg", "recvmsg", "recvmmsg", "fcntl", "flock", "fsync", "fdatasync", "epoll_wait", "epoll_pwait",
    "epoll_pwait2", "io_uring_enter",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wait:
    """A blocked thread's system call; ``program_counter`` and ``stack_pointer`` are addresses.

    ``descriptor`` and ``futex`` are what the call names, None for other calls.
    """

    call: str
    descriptor: int | None
    futex: int | None
    program_counter: int
    stack_pointer: int


def parse_syscall(text: str) -> Wait | None:
    """Return what the file ``syscall`` says; None for ``running`` and for a page fault (``-1``)."""
    part = text.split()
    if len(part) < 9 or part[0] == "-1":
        return None
    number, first = int(part[0]), int(part[1], 16)
    call = _CALLS.get(number, f"call {number}")
    return Wait(
        call,
        first & 0x7FFFFFFF if call in _ON_DESCRIPTOR else None,
        first if call == "futex" else None,
        int(part[8], 16),
        int(part[7], 16),
    )


def describe(wait: Wait, open_file: Callable[[int], str], futex_owner: Callable[[int], str]) -> str:
    """Return the wait as a person would say it: ``read of pipe:[123]``, ``futex of libgomp.so.1``."""
    if wait.descriptor is not None:
        return f"{wait.call} of {open_file(wait.descriptor) or f'fd {wait.descriptor}'}"
    if wait.futex is not None:
        owner = futex_owner(wait.futex)
        return f"futex of {owner}" if owner else "futex"
    return wait.call
