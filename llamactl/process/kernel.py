"""Pages as the kernel counts them: of a file in the page cache, of a range of a process's addresses."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from llamactl.process import _kernel, proc_pid

PAGE_BYTES = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class PageCache:
    """What of a file, or of a part of it, is in the page cache.

    Attributes:
        length_bytes: Of the part that was asked about.
        cached_bytes: In memory, in whole pages, so up to a page more than ``length_bytes``.
        dirty_bytes: Of these, not yet written to disk; None if the kernel didn't tell.
        recently_evicted_bytes: Dropped from memory a short time ago, which is what happens while a
            model doesn't fit; None if the kernel didn't tell.
        source: ``cachestat`` or ``mincore``.
    """

    length_bytes: int
    cached_bytes: int
    dirty_bytes: int | None
    recently_evicted_bytes: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Resident:
    """What of an address range is in memory.

    Attributes:
        present_bytes: In the process's page table. The shared page of zeros isn't counted, as in smaps,
            but where ``source`` is ``pagemap``, which can't tell it apart.
        swapped_bytes: On swap.
        file_bytes: Present, and of a file or shared memory.
        huge_bytes: Present through huge pages; None if the source can't tell.
        source: ``pagemap_scan`` or ``pagemap``.
    """

    present_bytes: int
    swapped_bytes: int
    file_bytes: int
    huge_bytes: int | None
    source: str


def page_cache(fd: int, offset: int = 0, length: int = 0) -> PageCache | None:
    """Ask what of an open file is cached: cachestat(2), or mincore(2) where that isn't there.

    Args:
        fd: Of a regular file, open for reading.
        offset: Where the part begins, in bytes.
        length: Of the part in bytes; 0 means up to the end of the file.

    Returns:
        None where the kernel doesn't tell this caller: it answers only for files that the caller owns
        or may write to.
    """
    length = length or max(os.fstat(fd).st_size - offset, 0)
    if length == 0:
        return PageCache(0, 0, 0, 0, "cachestat")
    pages = _kernel.ffi.new("struct llamactl_file_pages *")
    for source, ask in (
        ("cachestat", _kernel.lib.llamactl_cachestat),
        ("mincore", _kernel.lib.llamactl_mincore),
    ):
        if ask(fd, offset, length, pages) == 0:
            dirty, evicted = _in_bytes(pages.dirty), _in_bytes(pages.recently_evicted)
            return PageCache(length, pages.cached * PAGE_BYTES, dirty, evicted, source)
    return None


def birth_ns(path: bytes) -> int | None:
    """Return when a file was made, ns since 1970 (statx(2)); None where the file system doesn't tell.

    Raises:
        OSError: There is no such file, or it can't be looked at.
    """
    found = int(_kernel.lib.llamactl_birth_ns(path))
    if found < 0:
        raise OSError(-found, os.strerror(-found))
    return found or None


def _in_bytes(pages: int) -> int | None:
    return None if pages < 0 else pages * PAGE_BYTES


class Pagemap:
    """The page table of a process, open for questions; the process isn't stopped.

    Raises:
        OSError: ``/proc/PID/pagemap`` can't be opened: no such process, or not one's own.
    """

    def __init__(self, pid: int) -> None:
        self._fd = os.open(proc_pid.place(pid, "pagemap"), os.O_RDONLY | os.O_CLOEXEC)
        self._can_scan = True

    def __enter__(self) -> Pagemap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def resident(self, start: int, end: int) -> Resident:
        """Tell what of the addresses ``start`` to ``end`` is in memory.

        PAGEMAP_SCAN goes over a whole mapping in one call; the entries of the file are the fallback.

        Raises:
            OSError: The process has ended (ESRCH), or the range isn't in its address space.
        """
        if self._can_scan:
            status, found = self._ask(_kernel.lib.llamactl_pagemap_scan, start, end)
            if status == 0:
                return Resident(found.present, found.swapped, found.file, found.huge, "pagemap_scan")
            self._can_scan = status not in {errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM}
        status, found = self._ask(_kernel.lib.llamactl_pagemap_read, start, end)
        if status != 0:
            raise OSError(status, os.strerror(status))
        return Resident(found.present, found.swapped, found.file, None, "pagemap")

    def _ask(self, question: Any, start: int, end: int) -> tuple[int, Any]:
        found = _kernel.ffi.new("struct llamactl_range_bytes *")
        return question(self._fd, start, end, found), found


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether the kernel does something for this caller.

    Attributes:
        works: It was tried and worked.
        error: The errno it failed with, 0 if it worked.
    """

    works: bool
    error: int


def probe_cachestat() -> Ability:
    """Try cachestat(2) on a file in memory, which is surely this process's own."""
    pages = _kernel.ffi.new("struct llamactl_file_pages *")
    fd = os.memfd_create("llamactl-probe", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, PAGE_BYTES)
        error = _kernel.lib.llamactl_cachestat(fd, 0, PAGE_BYTES, pages)
    finally:
        os.close(fd)
    return Ability(error == 0, error)


def probe_pagemap_scan() -> Ability:
    """Try PAGEMAP_SCAN on one page of this process."""
    found = _kernel.ffi.new("struct llamactl_range_bytes *")
    try:
        fd = os.open(proc_pid.place("self", "pagemap"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return Ability(False, error.errno or errno.EIO)
    try:
        page = int(_kernel.ffi.cast("uintptr_t", found)) // PAGE_BYTES * PAGE_BYTES
        status = _kernel.lib.llamactl_pagemap_scan(fd, page, page + PAGE_BYTES, found)
    finally:
        os.close(fd)
    return Ability(status == 0, status)
