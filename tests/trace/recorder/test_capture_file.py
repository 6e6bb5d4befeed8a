"""The capture file: what is written comes back, also from a file that was cut off anywhere."""

from __future__ import annotations

import errno
import os
import stat
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from llamactl.errors import LlamactlError, UsageError
from llamactl.trace.capture.layout import CHUNK_HEADER, FILE_HEADER
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.strings import StringTable, encode
from llamactl.trace.capture.writer import CaptureWriter, add_metadata


def rows(count: int, first: int = 0) -> NDArray[np.void]:
    records = np.zeros(count, RECORD)
    records["kind"] = Kind.SYSCALL
    records["start"] = np.arange(first, first + count)
    return records


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A closed capture of 3 + 2 records and two strings."""
    path = tmp_path / "a.capture"
    writer = CaptureWriter(path)
    writer.metadata({"schema_version": 1, "kernel": "?"})
    first = rows(3)
    first["text"] = writer.add_string(b"/etc/passwd")
    writer.records(first)
    writer.metadata({"kernel": "6.18"})
    second = rows(2, 3)
    second["text2"] = writer.add_string(b"\0binary\xff")
    writer.records(second)
    writer.close()
    return path


def test_what_is_written_comes_back(written: Path) -> None:
    capture = Capture.open(written)
    chunks = list(capture.chunks())
    assert [len(chunk) for chunk in chunks] == [3, 2]
    assert list(np.concatenate(chunks)["start"]) == [0, 1, 2, 3, 4]
    assert capture.text(chunks[0]["text"][0]) == b"/etc/passwd"
    assert capture.text(chunks[1]["text2"][1]) == b"\0binary\xff"
    assert capture.text(0) == b""
    assert capture.metadata == {"schema_version": 1, "kernel": "6.18", "complete": True}
    assert capture.ended
    assert capture.complete
    assert capture.count == 5


def test_facts_can_be_added_to_a_closed_capture(written: Path) -> None:
    add_metadata(written, {"kernel": "later", "more": 1})
    add_metadata(written, {"more": 2})
    capture = Capture.open(written)
    assert capture.metadata == {"schema_version": 1, "kernel": "later", "more": 2, "complete": True}
    assert capture.complete
    assert capture.count == 5


def test_records_are_views_of_the_file_and_aligned(written: Path) -> None:
    for chunk in Capture.open(written).chunks():
        assert not chunk.flags.owndata
        assert not chunk.flags.writeable
        assert chunk["start"].flags.aligned


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("x" * 500)
    path.chmod(0o644)
    CaptureWriter(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Capture.open(path).count == 0


def test_cut_off_at_every_byte(written: Path) -> None:
    data = written.read_bytes()
    seen = set()
    for size in range(FILE_HEADER.size, len(data)):
        written.write_bytes(data[:size])
        capture = Capture.open(written)
        starts = [int(row["start"]) for chunk in capture.chunks() for row in chunk]
        assert starts == list(range(len(starts)))
        assert not capture.ended
        for chunk in capture.chunks():
            for row in chunk:
                assert capture.text(row["text"]) in (b"/etc/passwd", b"")
        seen.add(len(starts))
    assert seen == {0, 1, 2, 3, 4, 5}


def test_the_same_string_is_kept_once(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "c")
    assert writer.add_string(b"x") == writer.add_string(b"x")
    assert writer.add_string(b"x") != writer.add_string(b"y")
    writer.close()


def test_an_engines_own_arena_is_rebased(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "c")
    writer.add_string(b"before")
    base = writer.add_arena(encode(b"one") + encode(b"two"))
    writer.records(rows(1))
    writer.close()
    capture = Capture.open(tmp_path / "c")
    assert capture.text(base + 1) == b"one"
    assert capture.text(base + 1 + len(encode(b"one"))) == b"two"


@pytest.mark.parametrize("room", [1, 40, 200, 300])
def test_full_disk_keeps_the_whole_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "c"
    writer = CaptureWriter(path)
    writer.records(rows(1))
    left = room
    real = os.writev

    def full(fd: int, parts: list[bytes]) -> int:
        nonlocal left
        data = b"".join(bytes(part) for part in parts)[:left]
        if not data:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= len(data)
        return real(fd, [data])

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(LlamactlError, match="No space left"):
        writer.records(rows(5, 1))
    writer.close()
    capture = Capture.open(path)
    whole = max(room - CHUNK_HEADER.size, 0) // RECORD.itemsize
    assert capture.count == 1 + whole
    assert not capture.complete


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 200])
def test_not_a_capture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="isn't a capture"):
        Capture.open(path)


def test_another_version(written: Path) -> None:
    data = bytearray(written.read_bytes())
    data[16] = 9
    written.write_bytes(data)
    with pytest.raises(UsageError, match="version 9"):
        Capture.open(written)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Capture.open(tmp_path / "none")
    with pytest.raises(LlamactlError, match="can't create"):
        CaptureWriter(tmp_path / "no" / "x")


def test_strings_that_are_all_new_take_no_memory_for_ever() -> None:
    """Names of sessions, of temporary files: 80 MB of them, as in a recording that goes on for days."""
    table = StringTable()
    tracemalloc.start()
    try:
        for number in range(20_000):
            table.add(b"%08d" % number * 512)
            table.take()
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
    assert table.add(b"%08d" % 19_999 * 512) < table.length, "the last ones are remembered"


def test_small_chunks_are_read_together(tmp_path: Path) -> None:
    """An hour's recording has 80,000 chunks of ten records; each reader took seconds for that."""
    with closing(CaptureWriter(tmp_path / "c")) as writer:
        for first in range(0, 3000, 3):
            writer.records(rows(3, first))
        writer.records(rows(5000, 3000))
        writer.records(rows(2, 8000))
    pieces = list(Capture.open(tmp_path / "c").raw_pieces())
    assert np.concatenate(pieces)["start"].tolist() == list(range(8002))
    assert len(pieces) < 10
