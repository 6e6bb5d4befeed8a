"""Read a capture file through mmap: numpy sees the records where they lie, nothing is copied."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import UsageError
from llamactl.trace.capture.layout import CHUNK_HEADER, FILE_HEADER, MAGIC, VERSION, Chunk, padding
from llamactl.trace.capture.open_ends import OpenEnds
from llamactl.trace.capture.plausible import check_records, metadata_of
from llamactl.trace.capture.record import RECORD
from llamactl.trace.capture.strings import StringPieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LARGE = 1024
MOST_JOINED = 256
"""So many chunks with fewer than LARGE records are read as one."""


class Capture:
    """A capture file, complete or cut off.

    Attributes:
        path: The file.
        metadata: What the recorder said about the recording, all metadata chunks in one.
        ended: Whether the recorder closed the file; False after a crash or on a full disk.
        count: How many records there are.
    """

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.ended = False
        self.count = 0
        self._data = data
        self._records: list[tuple[int, int]] = []
        pieces: list[memoryview] = []
        for kind, begin, length in self._walk():
            if kind == Chunk.METADATA:
                self._take(data[begin : begin + length])
            elif kind == Chunk.RECORDS:
                self._records.append((begin, length // RECORD.itemsize))
                self.count += length // RECORD.itemsize
            elif kind == Chunk.STRINGS:
                pieces.append(data[begin : begin + length])
            elif kind == Chunk.END:
                self.ended = True
        self._strings = StringPieces(pieces)
        self._ends: OpenEnds | None = None
        self._checked: set[int] = set()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Capture:
        """Map the file.

        Raises:
            UsageError: It can't be opened, isn't a capture, is damaged, or is of a version that this llamactl
                can't read.
        """
        where = Path(path)
        try:
            with where.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"can't open the capture {where}: {reason}") from error
        data = memoryview(mapped)
        if len(data) < FILE_HEADER.size or bytes(data[: len(MAGIC)]) != MAGIC:
            raise UsageError(f"{where} isn't a capture of llamactl trace")
        version = FILE_HEADER.unpack_from(data)[1]
        if version != VERSION:
            raise UsageError(
                f"{where} is a capture of version {version}, this llamactl reads version {VERSION}",
                "Read it with the llamactl that wrote it.",
            )
        return cls(where, data)

    @property
    def complete(self) -> bool:
        """Whether the file was closed, everything was recorded to its end and nothing was lost."""
        return self.ended and bool(self.metadata.get("complete")) and not self.metadata.get("lost")

    @property
    def begin_ns(self) -> int:
        """The first moment of the recording; 0 when nothing was recorded."""
        return self._open_ends().begin_ns

    @property
    def end_ns(self) -> int:
        """The last moment of the recording."""
        return self._open_ends().end_ns

    def chunks(self) -> Iterator[NDArray[np.void]]:
        """Yield the records chunk by chunk (dtype ``RECORD``).

        What was still open at the end is cut there, and keeps ``Flag.NO_EXIT``.

        Raises:
            UsageError: A record can't be one that a recorder wrote.
        """
        ends = self._open_ends()
        for chunk in self._plausible_chunks():
            yield ends.close(chunk)

    def raw_chunks(self) -> Iterator[NDArray[np.void]]:
        """Yield the records as they were written (read-only views of the file): for a capture that grows."""
        for begin, count in self._records:
            yield np.frombuffer(self._data, RECORD, count, begin)

    def raw_pieces(self) -> Iterator[NDArray[np.void]]:
        """Yield what :meth:`raw_chunks` does, small chunks copied together.

        A recording that goes on for hours has a chunk for each tenth of a second in which something happened.
        """
        small: list[memoryview] = []  # numpy copies records field by field.
        for begin, count in self._records:
            small.append(self._data[begin : begin + count * RECORD.itemsize])
            if count >= LARGE or len(small) >= MOST_JOINED:
                yield np.frombuffer(b"".join(small), RECORD)
                small = []
        if small:
            yield np.frombuffer(b"".join(small), RECORD)

    def _plausible_chunks(self) -> Iterator[NDArray[np.void]]:
        for number, chunk in enumerate(self.raw_chunks()):
            if number not in self._checked:
                try:
                    check_records(chunk, len(self.metadata.get("function_table") or ()))
                except TypeError as error:
                    raise _damaged(self.path, error) from None
                self._checked.add(number)
            yield chunk

    def _take(self, payload: memoryview) -> None:
        try:
            self.metadata.update(metadata_of(payload))
        except TypeError as error:
            raise _damaged(self.path, error) from None

    def _open_ends(self) -> OpenEnds:
        if self._ends is None:
            recorded = self.metadata.get("recorded") or {}
            endless = bool((self.metadata.get("boundary") or {}).get("no_ends"))
            self._ends = OpenEnds(
                self._plausible_chunks(), recorded.get("begin_ns"), recorded.get("end_ns"), endless
            )
        return self._ends

    def forget(self) -> None:
        """Give back the memory of what was read so far; the page cache keeps the file's pages."""
        if isinstance(self._data.obj, mmap.mmap):
            self._data.obj.madvise(mmap.MADV_DONTNEED)

    def text(self, reference: int) -> bytes:
        """Return the string that a record's ``text`` or ``text2`` means; empty for 0."""
        return self._strings.get(int(reference))

    def _walk(self) -> Iterator[tuple[int, int, int]]:
        """Yield (type, begin, length) of each chunk; the last one is cut to what the file has."""
        position = FILE_HEADER.size
        while position + CHUNK_HEADER.size <= len(self._data):
            kind, _, length = CHUNK_HEADER.unpack_from(self._data, position)
            position += CHUNK_HEADER.size
            yield kind, position, min(length, len(self._data) - position)
            position += length + padding(length)


def _damaged(path: Path, error: TypeError) -> UsageError:
    return UsageError(f"the capture {path} is damaged: {error}", "Record again.")
