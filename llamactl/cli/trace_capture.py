"""Where a capture goes while it is recorded: a kept file, a temporary one, or through one to a device."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import UsageError
from llamactl.output.file import OutputFile
from llamactl.output.place import find_place
from llamactl.trace.capture.writer import CaptureWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def capture_writer(output: str | None) -> Iterator[CaptureWriter]:
    """Yield what writes the capture.

    Args:
        output: A file gets its name once recording has begun. A device or a pipe, which can't be read
            again, gets the whole capture at the end. Without it a temporary file is made and removed.

    Raises:
        UsageError: The output can't be written.
    """
    if output is None:
        with _temporary() as path:
            yield CaptureWriter(path)
        return
    if not _is_file(output):
        with _temporary() as path, _opened(output) as sink:
            writer = CaptureWriter(path)
            try:
                yield writer
            finally:
                _deliver(writer, sink)
        return
    writer = CaptureWriter(output, kept=True)
    try:
        yield writer
    finally:
        writer.discard()


@contextmanager
def _temporary() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix="llamactl-", suffix=".capture")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _opened(output: str) -> Iterator[OutputFile]:
    try:
        file = OutputFile(output)
    except OSError as error:
        raise _cant_create(output, error) from error
    try:
        yield file
    finally:
        file.discard()


def _deliver(writer: CaptureWriter, sink: OutputFile) -> None:
    if writer.closed:
        with writer.path.open("rb") as source, sink.stream("wb") as stream:
            shutil.copyfileobj(source, stream, 1 << 20)


def _is_file(output: str) -> bool:
    try:
        return find_place(output).is_file
    except OSError as error:
        raise _cant_create(output, error) from error


def _cant_create(output: str, error: OSError) -> UsageError:
    return UsageError(f"can't create the capture {output}: {error.strerror}", "Give another place with -o.")
