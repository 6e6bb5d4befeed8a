"""Write a capture file: append-only, readable at any moment up to the last whole record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamactl.errors import NO_ROOM, LlamactlError, UsageError
from llamactl.output.file import OutputFile
from llamactl.trace.capture.layout import CHUNK_HEADER, FILE_HEADER, MAGIC, VERSION, Chunk, padding
from llamactl.trace.capture.record import RECORD
from llamactl.trace.capture.strings import StringTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CaptureWriter:
    """One capture file being written.

    Args:
        path: Where; an existing file is replaced. Its mode becomes 0600.
        told: What messages call it, where its name says nothing.
        kept: A person keeps it: until :meth:`publish` its name leads to what was there before, and
            :meth:`close` brings it to the disk.

    Raises:
        LlamactlError: The file can't be created, or (from the methods) can't be written any further.

    Attributes:
        bytes_written: Size of the file so far.
    """

    def __init__(self, path: str | os.PathLike[str], *, kept: bool = False, told: str = "") -> None:
        self.path = Path(path)
        self._told = told or str(self.path)
        self.bytes_written = 0
        self._kept = kept
        self._strings = StringTable()
        self._broken = False
        try:
            self._file = OutputFile(self.path)
            if not kept:
                self._file.publish()
        except OSError as error:
            raise _uncreatable(self._told, error) from error
        self._fd = self._file.descriptor
        self._write(FILE_HEADER.pack(MAGIC, VERSION, 0))

    @property
    def closed(self) -> bool:
        """Whether the recording is over and the file is whole."""
        return self._fd < 0

    def publish(self) -> None:
        """Give a kept capture its name: recording has begun.

        Raises:
            LlamactlError: The file can't get its name.
        """
        try:
            self._file.publish()
        except OSError as error:
            raise _uncreatable(self._told, error) from error

    @property
    def broken(self) -> bool:
        """Whether the file couldn't be written any further."""
        return self._broken

    def metadata(self, values: dict[str, Any]) -> None:
        """Add facts about the recording; a key that comes again replaces the earlier one."""
        self._chunk(Chunk.METADATA, json.dumps(values, ensure_ascii=True).encode())

    def add_string(self, data: bytes) -> int:
        """Keep a string and return what a record's ``text`` or ``text2`` must hold to mean it."""
        return self._strings.add(data)

    def add_arena(self, arena: bytes | memoryview) -> int:
        """Keep strings that an engine encoded itself (u32 length, bytes).

        Returns:
            What must be added to the engine's own references (offset in ``arena`` plus one), -1 when the
            capture has no room for more strings.
        """
        return self._strings.append(arena)

    def records(self, records: NDArray[np.void]) -> None:
        """Append records (dtype ``RECORD``); the strings they mean are written before them."""
        if records.dtype != RECORD:
            raise TypeError(f"records have dtype {records.dtype}, not RECORD")
        self.flush_strings()
        if len(records):
            payload = records if records.flags.c_contiguous else records.copy()
            self._chunk(Chunk.RECORDS, payload.data.cast("B"))

    def flush_strings(self) -> None:
        """Write the strings that no records have followed yet."""
        pending = self._strings.take()
        if pending:
            self._chunk(Chunk.STRINGS, pending)

    def close(self, complete: bool = True) -> None:
        """Finish the file.

        Args:
            complete: Whether everything that happened was recorded to its end; kept in the metadata.
        """
        if self._fd < 0:
            return
        try:
            if not self._broken:
                self.flush_strings()
                self.metadata({"complete": complete})
                self._chunk(Chunk.END, b"")
        finally:
            self._fd = -1
            self._finish()

    def discard(self) -> None:
        """Close the file; one that has no name yet is gone, and what it would have replaced is still there."""
        self._fd = -1
        self._file.discard()

    def _finish(self) -> None:
        try:
            if self._kept:
                self._file.commit()
        except OSError as error:
            raise _failure("can't write the capture", self._told, error) from error
        finally:
            self._file.discard()

    def _chunk(self, kind: Chunk, payload: bytes | memoryview) -> None:
        size = len(payload)
        start = self.bytes_written
        try:
            self._write(CHUNK_HEADER.pack(kind, 0, size), payload, bytes(padding(size)))
        except LlamactlError:
            self._mend(kind, start, size)
            raise

    def _write(self, *parts: bytes | memoryview) -> None:
        """Write all parts; a signal or a nearly full disk may make writev stop half way."""
        pending = [memoryview(part) for part in parts if len(part)]
        while pending:
            try:
                written = os.writev(self._fd, pending)
            except OSError as error:
                self._broken = True
                raise _failure("can't write the capture", self._told, error) from error
            self.bytes_written += written
            while pending and written >= len(pending[0]):
                written -= len(pending.pop(0))
            if written:
                pending[0] = pending[0][written:]

    def _mend(self, kind: Chunk, start: int, size: int) -> None:
        """After a failed write, leave a file whose last chunk is whole: cut it to what arrived."""
        unit = RECORD.itemsize if kind is Chunk.RECORDS else 1
        arrived = min(max(self.bytes_written - start - CHUNK_HEADER.size, 0), size)
        kept = arrived - arrived % unit if kind in (Chunk.RECORDS, Chunk.STRINGS) else 0
        try:
            if kept:
                os.pwrite(self._fd, CHUNK_HEADER.pack(kind, 0, kept), start)
                os.ftruncate(self._fd, start + CHUNK_HEADER.size + kept)
            else:
                os.ftruncate(self._fd, start)
        except OSError:
            return  # The reader copes with a chunk that is longer than the file, too.


def add_metadata(path: str | os.PathLike[str], values: dict[str, Any]) -> None:
    """Add facts to a capture that is closed already; a key that comes again replaces the earlier one.

    Args:
        path: The capture. It must have been closed in order, so that a chunk may follow its last one.
        values: The facts.

    Raises:
        LlamactlError: The file can't be written.
    """
    payload = json.dumps(values, ensure_ascii=True).encode()
    chunk = CHUNK_HEADER.pack(Chunk.METADATA, 0, len(payload)) + payload + bytes(padding(len(payload)))
    where = Path(path)
    try:
        with where.open("ab") as file:
            file.write(chunk)
    except OSError as error:
        raise _failure("can't write the capture", str(where), error) from error


def _uncreatable(path: str, error: OSError) -> LlamactlError:
    if error.errno in NO_ROOM:
        return _failure("can't create the capture", path, error)
    return UsageError(f"can't create the capture {path}: {error.strerror}", "Give another place with -o.")


def _failure(what: str, path: str, error: OSError) -> LlamactlError:
    hint = "Free some space, or give another place with -o." if error.errno in NO_ROOM else ""
    return LlamactlError(f"{what} {path}: {error.strerror}", hint)
