"""The one place that imports our C recorder, and the memory it shares with numpy."""

from __future__ import annotations

import os
import platform
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, LlamactlError
from llamactl.trace._tracer import ffi, lib
from llamactl.trace.capture.record import RECORD
from llamactl.trace.decode.table import arch_of, numbers
from llamactl.trace.record.syscalls.base import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llamactl.trace.record.syscalls.base import Command

__all__ = [
    "ASK",
    "STAGES",
    "STOPS_TO_WATCH",
    "Arguments",
    "batch_of",
    "ffi",
    "find_program",
    "lib",
    "selection_bits",
]

STAGES = ("", "thread", "fork", "seize", "chdir", "no_new_privs", "seccomp", "exec")
SELECT_BYTES = 128
ASK = 1023
"""A system call that doesn't exist, by which the agent asks for a buffer to be watched (``calls/handed_out.h``)."""
_HERE = numbers(arch_of(platform.machine()))
STOPS_TO_WATCH = frozenset({ASK, *(_HERE[name] for name in ("prctl", "seccomp") if name in _HERE)})
"""ASK, and prctl and seccomp: a program that filters its own system calls isn't asked any more."""


class Arguments:
    """A command as C wants it: NULL-terminated arrays that live as long as this object."""

    def __init__(self, command: Command, program: str) -> None:
        env = os.environ if command.env is None else command.env
        self._keep: list[Any] = []
        self.path = self._string(program)
        self.argv = self._vector(command.argv)
        self.envp = self._vector(f"{name}={value}" for name, value in env.items())
        self.cwd = self._string(command.cwd) if command.cwd else ffi.NULL

    def _string(self, text: str) -> Any:
        kept = ffi.new("char[]", os.fsencode(text))
        self._keep.append(kept)
        return kept

    def _vector(self, texts: Iterable[str]) -> Any:
        strings = [self._string(text) for text in texts]
        vector = ffi.new("char *[]", [*strings, ffi.NULL])
        self._keep.append(vector)
        return vector


def find_program(command: Command) -> str:
    """Return the path of the command's program.

    Raises:
        LlamactlError: There is none (exit code 127), or it isn't executable (126), as a shell says it.
    """
    name = command.argv[0]
    env = os.environ if command.env is None else command.env
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if found:
        return found
    exists = os.sep in name and os.path.exists(name)  # noqa: PTH110
    error = LlamactlError(f"{name}: {'not an executable file' if exists else 'no such program'}")
    error.exit_code = EXIT_NOT_EXECUTABLE if exists else EXIT_NOT_FOUND
    raise error


def selection_bits(selection: frozenset[int] | None) -> Any:
    """Return a bit for each selected system call, or NULL for all of them."""
    if selection is None:
        return ffi.NULL
    bits = bytearray(SELECT_BYTES)
    for number in selection:
        if 0 <= number < SELECT_BYTES * 8:
            bits[number >> 3] |= 1 << (number & 7)
    return ffi.from_buffer(bytes(bits))


def batch_of(block: Any) -> Batch:
    """Return a block's records and strings where C filled them in."""
    size = block.count * RECORD.itemsize
    records = np.frombuffer(memoryview(ffi.buffer(block.records, size)), RECORD)
    return Batch(records, memoryview(ffi.buffer(block.strings, block.string_bytes)))
