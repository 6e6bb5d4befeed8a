"""Which Python files a process has imported: code objects keep the path of their source in memory.

Nothing is started for it and nothing stopped; only paths are taken out of what is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.process.memory.smaps import Smaps
from llamactl.process.target_memory import TargetMemory

_MOST_BYTES = 256 << 20
_PIECE = 4 << 20
_LONGEST = 1024
_ENDING = b".py\0"


def imported_sources(memory: TargetMemory, maps: Smaps) -> frozenset[str] | None:
    """Return the absolute paths of source files in the process's own memory; None where it can't be read.

    Args:
        memory: Of the process.
        maps: Its mappings; the small ones and the heap are read first, ``_MOST_BYTES`` at most.
    """
    found: set[str] = set()
    left, read = _MOST_BYTES, 0
    for start, end in _own(maps):
        if left <= 0:
            break
        for data in _pieces(memory, start, min(end, start + left)):
            found.update(_paths(data))
            read += len(data)
        left -= end - start
    return frozenset(found) if read else None


def _own(maps: Smaps) -> list[tuple[int, int]]:
    """Return the private memory that isn't a file's and was written to, the heap first, then by size."""
    dirty = maps.measures[b"Private_Dirty"]
    found = [
        (path != "[heap]", end - start, start, end)
        for start, end, permissions, path, bytes_ in zip(
            maps.start, maps.end, maps.permissions, maps.path, dirty, strict=True
        )
        if permissions == "rw-p" and bytes_ and (not path or path == "[heap]" or path.startswith("[anon:"))
    ]
    return [(start, end) for _, _, start, end in sorted(found)]


def _pieces(memory: TargetMemory, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _PIECE):
        # A path may lie across two pieces.
        yield memory.read(at, min(_PIECE + _LONGEST, end - at))


def _paths(data: bytes) -> Iterator[str]:
    at = data.find(_ENDING)
    while at >= 0:
        begin = data.rfind(b"\0", max(at - _LONGEST, 0), at) + 1
        slash = data.find(b"/", begin, at)
        # The object's own header lies before its text.
        if 0 <= slash - begin < 8:
            text = data[slash : at + 3].decode("utf-8", "surrogateescape")
            if text.isprintable():
                yield text
        at = data.find(_ENDING, at + 1)
