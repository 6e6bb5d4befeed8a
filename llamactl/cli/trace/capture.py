"""Where a capture goes while it is recorded: a kept file, a temporary one, or through one to a device."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.cli.boundary import warn
from llamactl.errors import UsageError
from llamactl.output.file import OutputFile
from llamactl.output.place import find_place
from llamactl.process import proc_pid
from llamactl.trace.capture.writer import CaptureWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX, SUFFIX = "llamactl-", ".capture"


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
            yield CaptureWriter(path, told=f"in {tempfile.gettempdir()}")
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
def kept_unless_shown(writer: CaptureWriter) -> Iterator[None]:
    """Keep a recording that can't be shown, and say where it is and how to see it.

    Somebody who has stopped reading (a closed pipe), or pressed Ctrl-C, has seen enough.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception:
        if not writer.closed:  # It hadn't begun.
            raise
        with suppress(OSError):
            where = _keep(writer.path)
            warn(
                "the recording couldn't be shown and is kept. Show it, or less of it (--show calls), with: "
                f"llamactl trace --from {shlex.quote(str(where))}"
            )
        raise


@contextmanager
def _temporary() -> Iterator[Path]:
    """Yield the path of a file without a name: whatever ends llamactl, SIGKILL too, ends the file (open(2))."""
    with tempfile.TemporaryFile(prefix=PREFIX, suffix=SUFFIX) as file:
        yield proc_pid.place(os.getpid(), "fd", file.fileno())


def _keep(path: Path) -> Path:
    """Return the name of a capture; one that has none is given one in the folder for temporary files."""
    if path.parent != proc_pid.place(os.getpid(), "fd"):
        return path
    target = Path(tempfile.gettempdir(), f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
    try:
        os.link(path, target, follow_symlinks=True)
    except OSError:  # A file system without such files: it had a name, and lost it.
        copy = OutputFile(target)
        with path.open("rb") as source, copy.stream("wb") as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
        copy.commit()
    return target


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
