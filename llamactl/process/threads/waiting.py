"""What a thread waits for: its system call, the descriptor or futex it names, and the kernel's place.

``/proc/PID/task/TID/syscall`` shows number, arguments, stack pointer and program counter of a blocked
thread without stopping it (proc_pid_syscall(5)).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

# What a call with a time limit is called after a stop or a signal that it survived, with its own arguments.
RESTARTED = "restart_syscall"
# Calls in which threads sleep: asm/unistd_64.h for x86-64, asm-generic/unistd.h for arm64.
_X86_64 = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 7: "poll", 16: "ioctl",
    17: "pread64", 18: "pwrite64", 19: "readv", 20: "writev", 21: "access", 23: "select", 24: "sched_yield",
    26: "msync", 34: "pause", 35: "nanosleep", 40: "sendfile", 42: "connect", 43: "accept", 44: "sendto",
    45: "recvfrom", 46: "sendmsg", 47: "recvmsg", 59: "execve", 61: "wait4", 65: "semop", 70: "msgrcv",
    72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 80: "chdir", 82: "rename",
    83: "mkdir", 87: "unlink", 89: "readlink", 128: "rt_sigtimedwait", 130: "rt_sigsuspend", 137: "statfs",
    138: "fstatfs", 162: "sync", 187: "readahead", 202: "futex", 208: "io_getevents", 217: "getdents64",
    219: RESTARTED,
    220: "semtimedop", 221: "fadvise64", 230: "clock_nanosleep", 232: "epoll_wait", 247: "waitid",
    257: "openat", 262: "newfstatat", 263: "unlinkat", 264: "renameat", 267: "readlinkat", 269: "faccessat",
    270: "pselect6", 271: "ppoll", 275: "splice", 281: "epoll_pwait", 285: "fallocate", 288: "accept4",
    295: "preadv", 296: "pwritev", 299: "recvmmsg", 306: "syncfs", 307: "sendmmsg", 326: "copy_file_range",
    332: "statx", 426: "io_uring_enter", 437: "openat2", 439: "faccessat2", 441: "epoll_pwait2",
    449: "futex_waitv",
}  # fmt: skip
_ARM64 = {
    20: "epoll_create1", 22: "epoll_pwait", 25: "fcntl", 29: "ioctl", 32: "flock", 35: "unlinkat",
    38: "renameat", 43: "statfs", 44: "fstatfs", 46: "ftruncate", 47: "fallocate", 48: "faccessat",
    49: "chdir", 56: "openat", 57: "close", 61: "getdents64", 63: "read", 64: "write", 65: "readv",
    66: "writev", 67: "pread64", 68: "pwrite64", 69: "preadv", 70: "pwritev", 71: "sendfile", 72: "pselect6",
    73: "ppoll", 76: "splice", 78: "readlinkat", 79: "newfstatat", 80: "fstat", 81: "sync", 82: "fsync",
    83: "fdatasync", 95: "waitid", 98: "futex", 101: "nanosleep", 115: "clock_nanosleep", 124: "sched_yield",
    133: "rt_sigsuspend", 137: "rt_sigtimedwait", 188: "msgrcv", 192: "semtimedop", 193: "semop",
    202: "accept", 203: "connect", 206: "sendto", 207: "recvfrom", 211: "sendmsg", 212: "recvmsg",
    213: "readahead", 221: "execve", 223: "fadvise64", 227: "msync", 242: "accept4", 243: "recvmmsg",
    260: "wait4", 267: "syncfs", 269: "sendmmsg", 285: "copy_file_range", 291: "statx",
    426: "io_uring_enter", 437: "openat2", 439: "faccessat2", 441: "epoll_pwait2", 449: "futex_waitv",
}  # fmt: skip
_CALLS = {"x86_64": _X86_64, "aarch64": _ARM64}.get(os.uname().machine, {})
READS = frozenset({"read", "readv", "pread64", "preadv", "recvfrom", "recvmsg", "recvmmsg"})
WRITES = frozenset({"write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg", "sendmmsg", "sendfile"})
_ON_DESCRIPTOR = frozenset({
    *READS, *WRITES, "ioctl", "accept", "accept4", "connect", "fcntl", "flock", "fsync", "fdatasync",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter", "fstat", "fstatfs", "ftruncate",
    "fallocate", "getdents64", "readahead", "syncfs", "splice", "copy_file_range", "fadvise64", "close",
})  # fmt: skip
# Which argument of a call is a path.
PATH_ARGUMENT = {
    **dict.fromkeys(("open", "stat", "lstat", "access", "execve", "chdir", "rename", "mkdir", "unlink",
                     "readlink", "statfs"), 0),
    **dict.fromkeys(("openat", "openat2", "newfstatat", "unlinkat", "renameat", "readlinkat", "faccessat",
                     "faccessat2", "statx"), 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wait:
    """A blocked thread's system call; ``program_counter`` and ``stack_pointer`` are addresses.

    ``descriptor`` and ``futex`` are what the call names, None for other calls; ``arguments`` are all six,
    as the kernel got them.
    """

    call: str
    descriptor: int | None
    futex: int | None
    program_counter: int
    stack_pointer: int
    arguments: tuple[int, ...] = ()


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
        tuple(int(word, 16) for word in part[1:7]),
    )


def describe(wait: Wait, open_file: Callable[[int], str], futex_owner: Callable[[int], str]) -> str:
    """Return the wait as a person would say it: ``read of pipe:[123]``, ``futex of libgomp.so.1``."""
    if wait.descriptor is not None:
        return f"{wait.call} of {open_file(wait.descriptor) or f'fd {wait.descriptor}'}"
    if wait.futex is not None:
        owner = futex_owner(wait.futex)
        return f"futex of {owner}" if owner else "futex"
    return wait.call
