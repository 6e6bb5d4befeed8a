"""Put a file into the page cache or out of it, and tell how much is in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from llamactl.bench._bench import lib

CHUNK = 1 << 20


def resident_bytes(files: Iterable[Path]) -> int | None:
    """Return how many bytes of files are in the page cache (mincore(2)); ``None`` if that can't be told."""
    total = 0
    for file in files:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            resident = int(lib.llamactl_resident_bytes(opened.fileno(), size))
        if resident < 0:
            return None
        total += resident
    return total


def drop(files: Iterable[Path]) -> None:
    """Ask the kernel to drop the pages of files (posix_fadvise(2), ``POSIX_FADV_DONTNEED``).

    Pages that a process maps stay: the result must be measured, see :func:`resident_bytes`.
    """
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill(files: Iterable[Path]) -> None:
    """Read files once, so that their pages are in the cache if the memory allows."""
    buffer = bytearray(CHUNK)
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def fingerprint(file: Path) -> str:
    """Return a SHA-256 over the size, the first 4 MiB and the last 1 MiB: quick, and tells models apart."""
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        digest.update(opened.read(4 * CHUNK))
        opened.seek(max(size - CHUNK, 0))
        digest.update(opened.read(CHUNK))
    return digest.hexdigest()
