"""The file that the agent and llamactl share: created, read and removed here."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.agent.functions import Function, parse_keeps
from llamactl.trace.agent.layout import (
    HEADER,
    LENGTH,
    MAGIC,
    MAX_SITES,
    MAX_THREADS,
    SITE,
    THREAD,
    VERSION,
    VIA,
)
from llamactl.trace.capture.record import RECORD, Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CAPACITY = 131072
"""12 MiB: a server that asks of each token of its vocabulary twice makes 100,000 calls at once."""
ARENA_BYTES = 1 << 20
SIZE_LIMIT = 16 << 20
STALL_S = 1.0


@dataclass(frozen=True, slots=True)
class Losses:
    """What the agent couldn't record, in calls unless said otherwise.

    Attributes:
        ring_full: Records that found the ring full because nobody read fast enough.
        threads: Calls of threads beyond the 255 that can be told apart at a time.
        depth: Calls nested too deep, or inside other calls while greenlets are in use.
        functions: Functions (not calls) that found no room in a table; their calls aren't seen.
        texts: Strings that found no room; their records have none.
        torn: Records that a dying process left half written.
    """

    ring_full: int = 0
    threads: int = 0
    depth: int = 0
    functions: int = 0
    texts: int = 0
    torn: int = 0

    @property
    def records(self) -> int:
        """How many records are missing."""
        return self.ring_full + self.threads + self.depth + self.torn


class Ring:
    """The shared file, seen from llamactl.

    Args:
        capacity: Records it can hold at a time; a power of two.

    Raises:
        LlamactlError: There is no room for it.

    Attributes:
        path: The file, 0600 in a directory of its own, 0700.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        offsets = _offsets(capacity)
        if offsets["size"] > SIZE_LIMIT or capacity & (capacity - 1):
            raise ValueError(
                f"the ring's capacity {capacity} isn't a power of two that fits {SIZE_LIMIT} bytes"
            )
        self._directory = Path(tempfile.mkdtemp(prefix="llamactl-", dir=_memory_directory()))
        self.path = self._directory / "agent.ring"
        self._map = self._create(offsets["size"])
        self._header = np.frombuffer(self._map, HEADER, 1)
        for key, value in {"magic": 0, "version": VERSION, "header_size": HEADER.itemsize, **offsets}.items():
            self._header[key] = value
        self._records = np.frombuffer(self._map, RECORD, capacity, offsets["records"])
        self._threads = np.frombuffer(self._map, THREAD, MAX_THREADS, offsets["threads"])
        self._sites = np.frombuffer(self._map, SITE, MAX_SITES, offsets["sites"])
        self._arena = offsets["arena"]
        self._capacity = capacity
        self._torn = 0
        self._stalled_since = 0.0
        self._header["magic"] = MAGIC

    def _create(self, size: int) -> mmap.mmap:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # All of it now: a traced program that finds no room later would be killed by SIGBUS.
                os.posix_fallocate(fd, 0, size)
                return mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            shutil.rmtree(self._directory, ignore_errors=True)
            hint = "Free some space in /dev/shm." if error.errno == errno.ENOSPC else ""
            raise LlamactlError(
                f"can't create the agent's ring in {self._directory}: {error.strerror}", hint
            ) from error

    def ask_for_buffers(self) -> NDArray[np.uint32]:
        """Let the program stop when llama.cpp hands out a buffer, so that it can be watched.

        Returns:
            The word that says so, one ``<u4``: 0 stops the asking.
        """
        word: NDArray[np.uint32] = self._header["watch"]
        word[:] = 1
        return word

    def drain(self) -> NDArray[np.void]:
        """Take out the records that are whole, oldest first (dtype ``RECORD``, a copy).

        ``text`` and ``text2`` are references into the agent's own strings: see :meth:`text`.
        """
        head, tail = int(self._header["head"][0]), int(self._header["tail"][0])
        parts = []
        while tail < head:
            begin = tail % self._capacity
            part = self._records[begin : begin + min(head - tail, self._capacity - begin)]
            unwritten = np.flatnonzero(part["kind"] == 0)
            count = int(unwritten[0]) if len(unwritten) else len(part)
            parts.append(part[:count].copy())
            part["kind"][:count] = 0
            tail += count
            if count < len(part):
                if not self._skip_torn():
                    break
                tail += 1
        self._header["tail"] = tail
        return np.concatenate(parts) if parts else np.empty(0, RECORD)

    def _skip_torn(self) -> bool:
        """Whether the record being waited for will never be written: its process died in the middle."""
        now = time.monotonic()
        if not self._stalled_since:
            self._stalled_since = now
        if now - self._stalled_since < STALL_S or all(_is_alive(pid) for pid in self.processes()):
            return False
        self._torn += 1
        self._stalled_since = 0.0
        return True

    def finish(self) -> NDArray[np.void]:
        """Take out all that is left once the traced processes have ended, calls in progress included.

        Calls and released intervals that never ended carry ``Flag.NO_EXIT``.
        """
        parts = [self.drain()]
        while int(self._header["tail"][0]) < int(self._header["head"][0]):
            self._torn += 1
            self._header["tail"] += 1
            parts.append(self.drain())
        parts.extend(self._unfinished())
        return np.concatenate(parts)

    def _unfinished(self) -> list[NDArray[np.void]]:
        found = []
        for slot in self._threads[self._threads["owner"] != 0]:
            frames = slot["frames"][: slot["depth"]]
            frames = frames[frames["kind"] != 0].copy()
            frames["flags"] |= np.uint8(Flag.NO_EXIT)
            found.append(frames)
            if slot["released"]:
                found.append(_released(slot))
        return found

    def processes(self) -> list[int]:
        """Return the ids of the processes that have made calls (those whose slots aren't used again)."""
        owners = self._threads["owner"]
        return sorted({int(owner) >> 32 for owner in owners[owners != 0]})

    def text(self, reference: int) -> bytes:
        """Return the string that ``text`` or ``text2`` of a drained record means; empty for 0."""
        if not reference:
            return b""
        begin = self._arena + int(reference) - 1
        (length,) = LENGTH.unpack_from(self._map, begin)
        return self._map[begin + LENGTH.size : begin + LENGTH.size + length]

    def intern(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> NDArray[np.void]:
        """Replace the agent's string references by the capture's, in place.

        Args:
            records: What :meth:`drain` or :meth:`finish` returned.
            add: ``CaptureWriter.add_string``.

        Returns:
            ``records``.
        """
        for field in ("text", "text2"):
            unique, inverse = np.unique(records[field], return_inverse=True)
            known = np.array([add(self.text(item)) if item else 0 for item in unique.tolist()], "<u4")
            if len(known):
                records[field] = known[inverse]
        return records

    def functions(self) -> list[Function]:
        """Return the functions bound so far; a CALL's ``nr`` (and a GIL's second argument) is an index."""
        sites = self._sites[: int(self._header["sites_used"][0])]
        return [self._function(site) for site in sites]

    def _function(self, site: np.void) -> Function:
        name, caller, library, keeps = (
            self.text(int(site[field])).decode("utf-8", "backslashreplace")
            for field in ("name", "caller", "library", "keeps")
        )
        args, text = parse_keeps(keeps)
        returns = chr(int(site["returns"])) if site["returns"] else ""
        return Function(name, caller, library, VIA[int(site["via"])], args, text, returns)

    def losses(self) -> Losses:
        """Return what has been lost so far."""
        header = self._header[0]
        return Losses(
            int(header["lost_full"]),
            int(header["lost_threads"]),
            int(header["lost_depth"]),
            int(header["lost_sites"]),
            int(header["lost_texts"]),
            self._torn,
        )

    @property
    def loaded(self) -> int:
        """How many processes have loaded the agent, forks that made calls included."""
        return int(self._header["processes"][0])

    @property
    def free_threaded(self) -> bool:
        """Whether a traced Python was built without a GIL."""
        return bool(self._header["free_threaded"][0])

    @property
    def python_version(self) -> str | None:
        """Version of the last Python that loaded the agent, "3.10" for that one; None without Python."""
        value = int(self._header["python"][0])
        if value == 0:
            return None
        return "3.10" if value == 1 else f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}"

    def close(self) -> None:
        """Remove the file. Processes that still have it mapped go on writing into memory of their own."""
        shutil.rmtree(self._directory, ignore_errors=True)
        for name in ("_header", "_records", "_threads", "_sites"):
            setattr(self, name, None)
        with contextlib.suppress(BufferError):
            self._map.close()

    def __enter__(self) -> Ring:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _offsets(capacity: int) -> dict[str, int]:
    records = 4096
    threads = records + capacity * RECORD.itemsize
    sites = threads + MAX_THREADS * THREAD.itemsize
    arena = sites + MAX_SITES * SITE.itemsize
    return {
        "records": records,
        "threads": threads,
        "sites": sites,
        "arena": arena,
        "capacity": capacity,
        "arena_size": ARENA_BYTES,
        "size": -(-(arena + ARENA_BYTES) // 4096) * 4096,
    }


def _memory_directory() -> str | None:
    """A directory that lies in memory, None for the usual one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - mkdtemp makes it ours


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _released(slot: np.void) -> NDArray[np.void]:
    record = np.zeros(1, RECORD)
    record["kind"] = Kind.GIL
    record["flags"] = Flag.NO_EXIT
    record["cpu"] = 0xFFFF
    record["tid"] = int(slot["owner"]) & 0xFFFFFFFF
    record["pid"] = int(slot["owner"]) >> 32
    record["start"] = slot["released_at"]
    record["text2"] = slot["place"]
    record["args"][0, 1] = int(slot["released"]) - 1
    record["args"][0, 2] = 2**64 - 1
    return record
