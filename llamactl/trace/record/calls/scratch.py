"""Find unused executable memory in a process, for the breakpoints' slots."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.elf import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from llamactl.process.memory.maps import ProcessMaps
    from llamactl.trace.record.calls.targets import Found

SLOT_BYTES = 32
"""The most that a slot takes; two thirds of it are usual."""
LASTING = ("libc.so", "libc-", "ld-linux", "ld-musl", "libm.so", "libpython", "libstdc++", "libgcc_s")
ADDRESS_BYTES = 8
REACH = 1 << 30
"""Bytes; a slot so near to the functions can hold instructions that address relative to themselves."""


def find_scratch(found: Found) -> tuple[int, int]:
    """Return address and size of executable memory that nobody uses: what pads a library's last page.

    Args:
        found: The functions that it is for.

    Raises:
        LlamactlError: There is too little of it.
    """
    near = found.targets[0].address
    needed = SLOT_BYTES * (len(found.targets) + 2)
    paths = found.maps.objects()
    with _memory(found.maps.pid) as memory:
        tails = {path: [_free(memory, tail) for tail in _tails(found.maps, path)] for path in paths}
    every = [tail for path in paths for tail in tails[path]]
    # The C library and the dynamic linker stay, others may be unloaded.
    lasting = [tail for path in paths if _lasts(path, paths[0]) for tail in tails[path] if tail[1] >= needed]
    near_by = [[tail for tail in some if abs(tail[0] - near) < REACH] for some in (lasting, every)]
    best = next((some for some in (*near_by, lasting, every) if some), [])
    start, size = max(best, key=lambda tail: tail[1], default=(0, 0))
    if size < SLOT_BYTES * 3:
        raise LlamactlError("no room for breakpoints in the process", "Use uprobes, which need root.")
    return start, min(size, needed)


@contextmanager
def _memory(pid: int) -> Iterator[BufferedReader]:
    try:
        with proc_pid.place(pid, "mem").open("rb") as memory:
            yield memory
    except OSError as error:
        raise LlamactlError(f"can't read the memory of process {pid}: {error.strerror}") from error


def _free(memory: BufferedReader, tail: tuple[int, int]) -> tuple[int, int]:
    """Return what of it nobody uses: behind our own slots, if there are any."""
    start, size = tail
    try:
        memory.seek(start)
        used = len(memory.read(size).rstrip(b"\0"))
    except OSError:
        return start, 0
    # A slot ends with an address, whose upper bytes are zeros.
    taken = (used + ADDRESS_BYTES + SLOT_BYTES - 1) & -SLOT_BYTES if used else 0
    return start + taken, max(size - taken, 0)


def _lasts(path: str, program: str) -> bool:
    return path == program or PurePosixPath(path).name.startswith(LASTING)


def _tails(maps: ProcessMaps, path: str) -> list[tuple[int, int]]:
    try:
        elf = read_elf(maps.readable(path))
    except OSError:
        return []
    found = []
    for part in elf.segments if elf else ():
        for piece in maps.executable(path):
            end = part.offset + part.file_bytes
            if (
                part.executable
                and piece.offset <= part.offset + part.file_bytes - 1 < piece.offset + piece.end - piece.start
            ):
                begin = (piece.start + end - piece.offset + SLOT_BYTES - 1) & -SLOT_BYTES
                found.append((begin, max(piece.end - begin, 0)))
    return found
