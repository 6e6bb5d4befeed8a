"""The kernel's tracepoints for system calls: their numbers, and filters over system-call numbers."""

from __future__ import annotations

import errno
import os

from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.native import lib

ENTER = "events/raw_syscalls/sys_enter/id"
EXIT = "events/raw_syscalls/sys_exit/id"
MOUNTED = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
HIGHEST = 65535
LONGEST_FILTER = 4000
"""The kernel takes a page; a filter with more to say is left to the recorder."""


def tracepoint_ids() -> tuple[int, int]:
    """Return the ids of raw_syscalls:sys_enter and sys_exit.

    Where tracefs isn't mounted, it is mounted for this process alone and unseen, which needs root.

    Raises:
        LlamactlError: They can't be read, with the remedy.
    """
    failure = errno.ENOENT
    for place in MOUNTED:
        try:
            directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            failure = _weightier(failure, error.errno)
            continue
        try:
            return _read_ids(directory)
        except OSError as error:
            failure = _weightier(failure, error.errno)
        finally:
            os.close(directory)
    private = lib.perf_tracefs()
    if private < 0:
        raise refusal.tracefs_refused(failure, refusal.read_rights())
    try:
        return _read_ids(private)
    except OSError as error:
        raise refusal.tracefs_refused(error.errno or failure, refusal.read_rights()) from error
    finally:
        os.close(private)


def _weightier(first: int, second: int | None) -> int:
    """A refusal says more than a missing file."""
    return second if second in (errno.EACCES, errno.EPERM) else first


def _read_ids(directory: int) -> tuple[int, int]:
    ids = []
    for name in (ENTER, EXIT):
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        try:
            ids.append(int(os.read(handle, 32)))
        finally:
            os.close(handle)
    return ids[0], ids[1]


def number_filter(numbers: frozenset[int] | None, excluded: frozenset[int]) -> str:
    """Return a tracepoint filter that lets through ``numbers`` (None: all) without ``excluded``.

    The filter is a binary search, because the kernel evaluates it for every call of the program. One that
    would be too long lets through too much: the recorder selects, too.
    """
    if numbers is None and not excluded:
        return ""
    single = sorted((numbers or frozenset()) - excluded)
    ranges = _gaps(sorted(excluded)) if numbers is None else [(number, number) for number in single]
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        if merged and merged[-1][1] + 1 == first:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    found = _search(merged) if merged else "id==-2"
    return found if len(found) <= LONGEST_FILTER else number_filter(None, excluded)


def _gaps(excluded: list[int]) -> list[tuple[int, int]]:
    starts = [0, *(number + 1 for number in excluded)]
    ends = [*(number - 1 for number in excluded), HIGHEST]
    return [(first, last) for first, last in zip(starts, ends, strict=True) if first <= last]


def _search(ranges: list[tuple[int, int]]) -> str:
    if len(ranges) == 1:
        first, last = ranges[0]
        if first == last:
            return f"id=={first}"
        return f"(id>={first}&&id<={last})"
    middle = len(ranges) // 2
    border = ranges[middle][0]
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    return f"((id<{border}&&{below})||(id>={border}&&{above}))"
