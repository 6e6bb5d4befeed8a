"""The ring that the agent writes its records into, as llamactl reads it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llamactl.process import proc_pid
from llamactl.trace.capture.record import RECORD, UNKNOWN_CPU, Flag, Kind
from llamactl.trace.record.agent.layout import (
    COUNT,
    HEADER,
    LENGTH,
    MAGIC,
    MAX_DEPTH,
    MAX_SITES,
    MAX_THREADS,
    SITE,
    THREAD,
    VERSION,
)
from llamactl.trace.record.agent.memory import SharedMemory
from llamactl.trace.record.agent.sound import TEXT_LIMIT, sound_count, sound_function, sound_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function

CAPACITY = 131072
"""12 MiB: a server that asks of each token of its vocabulary twice makes 100,000 calls at once."""
ARENA_BYTES = 1 << 20
SIZE_LIMIT = 16 << 20
STALL_S = 1.0
LONG_STALL_S = 5.0
"""A record that is half written for so long won't be finished, even though its process is alive."""
WORD = 1 << 64
PIDS = 1 << 22
"""No process has a larger number (PID_MAX_LIMIT)."""


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
        damaged: Records and counters that the program has overwritten; those that are known of.
    """

    ring_full: int = 0
    threads: int = 0
    depth: int = 0
    functions: int = 0
    texts: int = 0
    torn: int = 0
    damaged: int = 0

    @property
    def records(self) -> int:
        """How many records are missing."""
        return self.ring_full + self.threads + self.depth + self.torn + self.damaged


@dataclass(frozen=True, slots=True)
class Counted:
    """Cheap calls that were counted in place of records while the ring was filling.

    Attributes:
        calls: How many.
        ns: How long they took together.
    """

    calls: int
    ns: int


class Ring:
    """The shared memory, seen from llamactl.

    Whatever lies in it may be wrong: positions, references and counts are checked before they are used, and what
    can't be is left out and counted (``Losses.damaged``).

    Args:
        capacity: Records it can hold at a time; a power of two.

    Raises:
        LlamactlError: There is no room for it.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        offsets = _offsets(capacity)
        if offsets["size"] > SIZE_LIMIT or capacity & (capacity - 1):
            raise ValueError(
                f"the ring's capacity {capacity} isn't a power of two that fits {SIZE_LIMIT} bytes"
            )
        self._memory = SharedMemory(offsets["size"])
        self._map = self._memory.map
        self._header = np.frombuffer(self._map, HEADER, 1)
        known = {"version": VERSION, "header_size": HEADER.itemsize, "key": self._memory.key}
        for name, value in {**known, **offsets}.items():
            self._header[name] = value
        self._records = np.frombuffer(self._map, RECORD, capacity, offsets["records"])
        self._threads = np.frombuffer(self._map, THREAD, MAX_THREADS, offsets["threads"])
        self._sites = np.frombuffer(self._map, SITE, MAX_SITES, offsets["sites"])
        self._counts = np.frombuffer(self._map, COUNT, MAX_SITES, offsets["counts"])
        self._arena = offsets["arena"]
        self._capacity = capacity
        self._tail = 0  # Ours; the header's is for the writers alone.
        self._began_ns = time.monotonic_ns()
        self._torn = 0
        self._damaged = 0
        self._stalled_since = 0.0
        self._salvaged: list[NDArray[np.void]] = []
        self._header["magic"] = MAGIC

    @property
    def address(self) -> str:
        """What the environment of a program says of it, see :func:`agent_environment`."""
        return self._memory.address

    @property
    def fd(self) -> int:
        """The memory's descriptor."""
        return self._memory.fd

    def inherit(self, wanted: bool) -> None:
        """Let the processes that we start have the descriptor, or not."""
        self._memory.inherit(wanted)

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
        head = self._head()
        parts, self._salvaged = self._salvaged, []
        while self._tail != head:
            part = self._next(head)
            unwritten = np.flatnonzero(part["kind"] == 0)
            count = int(unwritten[0]) if len(unwritten) else len(part)
            parts.append(self._taken(part[:count]))
            if count < len(part):
                if not self._skip_torn():
                    break
                self._move(1)
            else:
                self._stalled_since = 0.0
        self._header["tail"] = self._tail
        return np.concatenate(parts) if parts else np.empty(0, RECORD)

    def _next(self, head: int) -> NDArray[np.void]:
        """Return what lies between tail and head in one piece."""
        begin = self._tail % self._capacity
        piece: NDArray[np.void] = self._records[
            begin : begin + min((head - self._tail) % WORD, self._capacity - begin)
        ]
        return piece

    def _move(self, count: int) -> None:
        self._tail = (self._tail + count) % WORD

    def _taken(self, part: NDArray[np.void]) -> NDArray[np.void]:
        """Copy these records out, free their places, and return those that can be."""
        copied = part.copy()
        part["kind"] = 0
        self._move(len(part))
        return self._sound(copied)

    def _sound(self, records: NDArray[np.void]) -> NDArray[np.void]:
        found, damaged = sound_records(records, self._site_count(), self._began_ns, time.monotonic_ns())
        self._damaged += damaged
        return found

    def _site_count(self) -> int:
        return min(int(self._header["sites_used"][0]), MAX_SITES)

    def _head(self) -> int:
        """Return where the writers are.

        Where that can't be, the program has overwritten it: all that lies in the ring is taken as far as it is
        sound, and the writers go on from where they think they are.
        """
        head = int(self._header["head"][0])
        if (head - self._tail) % WORD <= self._capacity:
            return head
        self._damaged += 1
        self._tail = (head - self._capacity) % WORD
        at = self._tail % self._capacity
        for piece in (self._records[at:], self._records[:at]):
            self._put_aside(piece)
        self._tail = head
        return head

    def _put_aside(self, piece: NDArray[np.void]) -> None:
        rows = piece["kind"] != 0
        self._salvaged.append(self._sound(piece[rows].copy()))
        piece["kind"] = 0

    def _skip_torn(self) -> bool:
        """Whether the record being waited for will never be written: its process died in the middle."""
        now = time.monotonic()
        if not self._stalled_since:
            self._stalled_since = now
        stalled = now - self._stalled_since
        if stalled < STALL_S or (
            stalled < LONG_STALL_S and all(proc_pid.is_there(pid) for pid in self.processes())
        ):
            return False
        self._torn += 1
        self._stalled_since = 0.0
        return True

    def finish(self) -> NDArray[np.void]:
        """Take out all that is left once the traced processes have ended, calls in progress included.

        Calls and released intervals that never ended carry ``Flag.NO_EXIT``.
        """
        parts = [self.drain()]
        head = self._head()
        while self._tail != head:
            part = self._next(head)
            whole = part["kind"] != 0
            self._torn += int((~whole).sum())
            parts.append(self._sound(part[whole].copy()))
            part["kind"] = 0
            self._move(len(part))
        parts, self._salvaged = [*parts, *self._salvaged], []
        self._header["tail"] = self._tail
        parts.extend(self._unfinished())
        return np.concatenate(parts)

    def _unfinished(self) -> list[NDArray[np.void]]:
        found = []
        for slot in self._threads[self._threads["owner"] != 0]:
            frames = slot["frames"][: min(int(slot["depth"]), MAX_DEPTH)]
            frames = frames[frames["kind"] != 0].copy()
            frames["flags"] |= np.uint8(Flag.NO_EXIT)
            found.append(self._sound(frames))
            owner = int(slot["owner"])
            if slot["released"] and 0 < owner >> 32 < PIDS and 0 < owner & 0xFFFFFFFF < PIDS:
                found.append(self._sound(_released(slot)))
        return found

    def processes(self) -> list[int]:
        """Return the ids of the processes that have made calls (those whose slots aren't used again)."""
        pids = {int(owner) >> 32 for owner in self._threads["owner"][self._threads["owner"] != 0]}
        return sorted(pid for pid in pids if 0 < pid < PIDS)

    def text(self, reference: int) -> bytes:
        """Return the string that ``text`` or ``text2`` of a drained record means; empty for 0 and for none."""
        begin = int(reference) - 1
        if begin < 0 or begin > ARENA_BYTES - LENGTH.size:
            return b""
        (length,) = LENGTH.unpack_from(self._map, self._arena + begin)
        room = ARENA_BYTES - LENGTH.size - begin
        start = self._arena + begin + LENGTH.size
        return self._map[start : start + length] if length <= min(room, TEXT_LIMIT) else b""

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
        return [sound_function(site, self.text) for site in self._sites[: self._site_count()]]

    def counted(self) -> dict[int, Counted]:
        """Return what was counted in place of records, by the function's number.

        A release or a wait of the GIL is counted under the function that did it.
        """
        found = {}
        for number in np.flatnonzero(self._counts["calls"][: self._site_count()]).tolist():
            calls, ns = (int(self._counts[name][number]) for name in ("calls", "ns"))
            if sound_count(calls) and sound_count(ns) == ns:
                found[number] = Counted(calls, ns)
        return found

    def losses(self) -> Losses:
        """Return what has been lost so far."""
        header = self._header[0]
        names = ("lost_full", "lost_threads", "lost_depth", "lost_sites", "lost_texts")
        values = [int(header[name]) for name in names]
        wrong = sum(1 for value in values if sound_count(value) != value)
        full, threads, depth, sites, texts = (sound_count(value) for value in values)
        return Losses(full, threads, depth, sites, texts, self._torn, self._damaged + wrong)

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
        """Leave the memory. Processes that still have it mapped go on writing into memory of their own."""
        for name in ("_header", "_records", "_threads", "_sites", "_counts"):
            setattr(self, name, None)
        self._memory.close()

    def __enter__(self) -> Ring:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _offsets(capacity: int) -> dict[str, int]:
    records = 4096
    threads = records + capacity * RECORD.itemsize
    sites = threads + MAX_THREADS * THREAD.itemsize
    counts = sites + MAX_SITES * SITE.itemsize
    arena = counts + MAX_SITES * COUNT.itemsize
    return {
        "records": records,
        "threads": threads,
        "sites": sites,
        "counts": counts,
        "arena": arena,
        "capacity": capacity,
        "arena_size": ARENA_BYTES,
        "size": -(-(arena + ARENA_BYTES) // 4096) * 4096,
    }


def _released(slot: np.void) -> NDArray[np.void]:
    record = np.zeros(1, RECORD)
    record["kind"] = Kind.GIL
    record["flags"] = Flag.NO_EXIT
    record["cpu"] = UNKNOWN_CPU
    record["tid"] = int(slot["owner"]) & 0xFFFFFFFF
    record["pid"] = int(slot["owner"]) >> 32
    record["start"] = slot["released_at"]
    record["text2"] = slot["place"]
    record["args"][0, 1] = int(slot["released"]) - 1
    record["args"][0, 2] = 2**64 - 1
    return record
