"""Define uprobes in tracefs, and remove them (kernel documentation: trace/uprobetracer).

All entries are one event with many places, and all returns another: the kernel waits for a grace period of
some 90 ms for each event that is removed. An event that nobody has open costs nothing, so what a killed
llamactl leaves behind does no harm; the next one removes it.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import ExitStack, suppress

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.native import lib

MOUNTED = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
GROUP = re.compile(r"^[pr]\d*:(llamactl_(\d+))/(enter|leave) ", re.MULTILINE)


class UprobeEvents:
    """Two events of this process's own: ``enter`` and ``leave``.

    Args:
        enter: Path (as seen by us) and offset in the file of each function whose entry is wanted.
        leave: The same for returns.

    Raises:
        LlamactlError: Uprobes are refused here, with the remedy.

    Attributes:
        ids: The events' numbers for perf.
    """

    _count = 0

    def __init__(self, enter: set[tuple[str, int]], leave: set[tuple[str, int]]) -> None:
        UprobeEvents._count += 1
        self._group = f"llamactl_{os.getpid()}"
        self._suffix = "" if UprobeEvents._count == 1 else f"_{UprobeEvents._count}"
        self._directory = _open_tracefs()
        try:
            self._remove_stale()
            for letter, event, places in (("p", "enter", enter), ("r", "leave", leave)):
                self._define(f"{letter}:{self._group}/{event}{self._suffix}", places)
            self.ids = (self._id("enter"), self._id("leave") if leave else 0)
        except OSError as error:
            self.close()
            raise LlamactlError(
                f"can't define uprobes: {error.strerror}",
                "The kernel needs CONFIG_UPROBE_EVENTS.",
            ) from error

    def _define(self, name: str, places: set[tuple[str, int]]) -> None:
        with ExitStack() as opened:
            shown = {path: _without_spaces(path, opened) for path, _ in places}
            for path, offset in sorted(places):
                self._write(f"{name} {shown[path]}:{offset:#x}")

    def _write(self, line: str) -> None:
        handle = os.open("uprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            os.write(handle, line.encode() + b"\n")
        finally:
            os.close(handle)

    def _read(self, name: str) -> str:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _id(self, event: str) -> int:
        return int(self._read(f"events/{self._group}/{event}{self._suffix}/id"))

    def _remove_stale(self) -> None:
        for group, pid in {(found[0], int(found[1])) for found in GROUP.findall(self._read("uprobe_events"))}:
            if not proc_pid.is_there(pid):
                self._remove(group, "")

    def _remove(self, group: str, suffix: str) -> None:
        for event in ("enter", "leave"):
            with suppress(OSError):  # It was never there, or someone else has it open.
                self._write(f"-:{group}/{event}{suffix}")

    def close(self) -> None:
        """Remove the events; whatever has them open must be closed before."""
        if self._directory >= 0:
            self._remove(self._group, self._suffix)
            os.close(self._directory)
            self._directory = -1


def _without_spaces(path: str, opened: ExitStack) -> str:
    """Return a name of the file for the kernel, which ends a path at a space; it lasts until ``opened`` closes."""
    if path.isprintable() and not re.search(r"\s", path):
        return path
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    opened.callback(os.close, handle)
    return str(proc_pid.place("self", "fd", handle))


def _open_tracefs() -> int:
    failure = errno.ENOENT
    for place in MOUNTED:
        with suppress(OSError):
            directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if os.access("uprobe_events", os.W_OK, dir_fd=directory):
                return directory
            os.close(directory)
            failure = errno.EACCES
    private = int(lib.perf_tracefs())
    if private >= 0:
        return private
    why = os.strerror(-private if failure == errno.ENOENT else failure)
    raise refusal.uprobes_refused(why, refusal.read_rights())
