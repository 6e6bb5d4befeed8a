"""The agent's ring as a hostile program writes to it, between llamactl's looks, up to the report of what was kept."""

from __future__ import annotations

import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.filters import Selection
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record.agent.layout import HEADER, MAX_SITES, SITE, THREAD
from llamactl.trace.record.agent.ring import Ring
from llamactl.trace.record.agent.source import AgentSource

CAPACITY = 64
STEP = struct.Struct("<BIB")
"""What is written where, an offset, and how many bytes follow."""
PLACES = (
    "head",
    "tail",
    "header",
    "records",
    "threads",
    "sites",
    "counts",
    "arena",
    "anywhere",
    "put",
    "look",
)
MOST_STEPS = 200


def step(place: str, offset: int = 0, data: bytes = b"") -> bytes:
    """Return one step of an input."""
    return STEP.pack(PLACES.index(place), offset, len(data)) + data


def record(kind: Kind, nr: int, start_ns: int, duration_ns: int, text: int = 0) -> bytes:
    """Return a record as the agent puts it, ``start_ns`` counted from the ring's beginning."""
    row = np.zeros(1, RECORD)
    row["kind"], row["nr"], row["start"], row["duration"] = kind, nr, start_ns, duration_ns
    row["pid"] = row["tid"] = 1234
    row["text"] = text
    return row.tobytes()


def ring_seeds() -> list[bytes]:
    """A program that behaves: two functions, calls of them, one that is open, strings."""
    names = b"".join(
        struct.pack("<I", len(name)) + name.ljust(16, b"\0") for name in (b"llama_decode", b"llama_encode")
    )
    sites = np.zeros(2, SITE)
    sites["name"], sites["hash"], sites["ready"] = (1, 21), (7, 8), 1
    sites["returns"] = ord("i")
    thread = np.zeros(1, THREAD)
    thread["owner"], thread["depth"] = 1234 << 32 | 1235, 1
    thread["frames"][0, 0] = np.frombuffer(record(Kind.CALL, 0, 10, 0), RECORD)[0]
    used = struct.pack("<II", len(names), 2)
    sound = [
        step("arena", 0, names),
        step("sites", 0, sites.tobytes()),
        step("header", _at("arena_used"), used),
        step("put", 0, record(Kind.CALL, 0, 20, 30)),
        step("put", 0, record(Kind.CALL, 1, 60, 5, 21)),
        step("put", 0, record(Kind.GIL, 0, 61, 3)),
        step("look"),
        step("threads", 0, thread.tobytes()[:200]),
        step("put", 0, record(Kind.CALL, 1, 70, 5)),
    ]
    wild = [step("head", 0, struct.pack("<Q", 1 << 63)), step("look"), step("counts", 0, bytes(range(16)))]
    return [
        b"".join(sound),
        b"".join([*sound, *wild]),
        b"".join([*sound[:5], step("tail", 0, b"\xff" * 8), *sound[5:]]),
    ]


def ring(data: bytes) -> None:
    """What a program writes into the memory that it shares with llamactl."""
    source = AgentSource(CAPACITY)
    began = monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="fuzz-ring-") as folder:
        path = Path(folder, "capture")
        writer = CaptureWriter(path)
        writer.metadata({"begin_ns": began, "arch": "x86_64", "engine": "none", "command": ["x"]})
        try:
            at = 0
            for _ in range(MOST_STEPS):
                if at + STEP.size > len(data):
                    break
                place, offset, length = STEP.unpack_from(data, at)
                at += STEP.size
                _write(source._ring, PLACES[place % len(PLACES)], offset, data[at : at + length], began)
                at += length
                if PLACES[place % len(PLACES)] == "look":
                    _look(source, writer)
            _finish(source, writer)
        finally:
            source.close()
            writer.close()
        capture = Capture.open(path)
        with suppress(LlamactlError):
            analyse(capture, Selection())


def _at(name: str) -> int:
    assert HEADER.fields
    return int(HEADER.fields[name][1])


def _write(memory: Ring, place: str, offset: int, data: bytes, began_ns: int) -> None:
    places = {
        "header": (0, HEADER.itemsize),
        "head": (_at("head"), 8),
        "tail": (_at("tail"), 8),
        "records": (4096, CAPACITY * RECORD.itemsize),
        "anywhere": (0, len(memory._map)),
    }
    if place == "put":
        _put(memory, data, began_ns)
        return
    if place == "look":
        return
    begin, size = places.get(place) or _part(memory, place)
    begin += offset % size
    data = data[: len(memory._map) - begin]
    memory._map[begin : begin + len(data)] = data


def _part(memory: Ring, place: str) -> tuple[int, int]:
    """Where a part really lies, whatever the header says by now."""
    arrays = {"threads": memory._threads, "sites": memory._sites, "counts": memory._counts}
    if place == "arena":
        return memory._arena, 4096
    array = arrays[place]
    begin = array.__array_interface__["data"][0] - memory._records.__array_interface__["data"][0] + 4096
    return begin, min(array.nbytes, 8192)


def _put(memory: Ring, data: bytes, began_ns: int) -> None:
    """As the agent does: claim a place, write the record, move the head."""
    row = np.frombuffer(data.ljust(RECORD.itemsize, b"\0")[: RECORD.itemsize], RECORD).copy()
    row["start"] += np.uint64(began_ns)
    head = int(memory._header["head"][0])
    memory._records[head % CAPACITY] = row[0]
    memory._header["head"] = (head + 1) % (1 << 64)


def _look(source: AgentSource, writer: CaptureWriter) -> None:
    count = source.drain(writer)
    assert 0 <= count <= 2 * CAPACITY
    source.processes()
    losses = source.losses()
    assert 0 <= losses.records < 1 << 53


def _finish(source: AgentSource, writer: CaptureWriter) -> None:
    source.finish(writer)
    assert len(source.functions()) <= MAX_SITES
    assert all(0 < pid < 1 << 22 for pid in source.processes())
