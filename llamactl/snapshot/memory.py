"""The memory of one process, split as a person asks for it: its own, and what it maps of files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class FileMemory:
    """What a process maps of some files, in bytes; summed over its mappings of them.

    Attributes:
        mapped_bytes: Size of the mappings.
        resident_bytes: Of that, in memory and in this process's page table.
        locked_bytes: Of that, locked (mlock(2)).
    """

    mapped_bytes: int
    resident_bytes: int
    locked_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The memory of a process, in bytes (proc_pid_smaps(5)).

    Attributes:
        resident_bytes: All that is in memory.
        peak_resident_bytes: The most it ever was (``VmHWM``).
        private_bytes: Of that, anonymous pages: heap, stacks, buffers, what was written in a private mapping.
        file_mapped_bytes: Of that, pages of mapped files, which the kernel can drop and read again.
        locked_bytes: Locked.
        files: Of the files asked for.
    """

    resident_bytes: int
    peak_resident_bytes: int | None
    private_bytes: int
    file_mapped_bytes: int
    locked_bytes: int
    files: FileMemory


def process_memory(pid: int | None = None, files: Iterable[str] = (), root: Path = ROOT) -> ProcessMemory:
    """Return the memory of a process.

    Args:
        pid: The process; ``None`` for this one.
        files: Resolved paths of files to sum up separately, such as the parts of a model.
        root: Where ``/proc`` is found, for tests.

    Raises:
        OSError: The process is gone or belongs to somebody else.
    """
    process = root / "proc" / ("self" if pid is None else str(pid))
    # The kernel writes a newline in a path as \\012 (proc_pid_maps(5)), and nothing else so.
    wanted = {path.encode("utf-8", "surrogateescape").replace(b"\n", rb"\012") for path in files}
    own = dict.fromkeys((b"Rss", b"Anonymous"), 0)
    of_files, file_mapped, locked = {b"Size": 0, b"Rss": 0}, 0, [0, 0]
    resident, is_file, is_wanted = 0, False, False
    for line in (process / "smaps").read_bytes().split(b"\n"):
        key, _, value = line.partition(b":")
        if b" " in key:
            path = line.split(b" ", 5)[-1].lstrip(b" ")
            is_file = path.startswith(b"/")
            is_wanted = is_file and path in wanted
        elif key == b"VmFlags":
            # "Locked:" is the proportional part where others map the file too; the flag says it of all pages.
            if b" lo" in value:
                locked[0] += resident
                locked[1] += resident if is_wanted else 0
        elif key in own or key in of_files:
            size = _kib(value)
            resident = size if key == b"Rss" else resident
            if key in own:
                own[key] += size
                file_mapped += 0 if not is_file else size if key == b"Rss" else -size
            if is_wanted and key in of_files:
                of_files[key] += size
    return ProcessMemory(
        resident_bytes=own[b"Rss"],
        peak_resident_bytes=_peak(process),
        private_bytes=own[b"Anonymous"],
        file_mapped_bytes=file_mapped,
        locked_bytes=locked[0],
        files=FileMemory(of_files[b"Size"], of_files[b"Rss"], locked[1]),
    )


def _kib(value: bytes) -> int:
    return int(value.split(None, 1)[0]) * 1024


def _peak(process: Path) -> int | None:
    for line in (process / "status").read_bytes().split(b"\n"):
        if line.startswith(b"VmHWM:"):
            return _kib(line.partition(b":")[2])
    return None


def available_bytes(root: Path = ROOT) -> int | None:
    """Return the memory that can be taken without swapping (``MemAvailable``, proc_meminfo(5))."""
    for line in (root / "proc/meminfo").read_bytes().split(b"\n"):
        if line.startswith(b"MemAvailable:"):
            return _kib(line.partition(b":")[2])
    return None
