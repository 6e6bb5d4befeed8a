"""The recorder's end of the pipe through which a program marks its phases (see ``marks``)."""

from __future__ import annotations

import fcntl
import os

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.record.clocked.marks import VARIABLE
from llamactl.trace.record.syscalls.base import Command

FIRST_FD = 200
"""High enough that the program's own files get the numbers they would get without it."""

FIELDS = 5
PIPE_BYTES = 1 << 20


class PhasePipe:
    """Reads marks as PHASE records.

    Attributes:
        phases: Names by their number in the records.
        write_end: The file descriptor that the program inherits.
    """

    def __init__(self) -> None:
        self.phases: list[str] = []
        self._read_end, low = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.write_end = fcntl.fcntl(low, fcntl.F_DUPFD, FIRST_FD)
        os.close(low)
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._rest = b""

    def given_to(self, command: Command) -> Command:
        """Return the command with an environment that names the program's end of the pipe."""
        env = dict(os.environ if command.env is None else command.env)
        env[VARIABLE] = str(self.write_end)
        return Command(command.argv, env, command.cwd)

    def close_write_end(self) -> None:
        """Forget our copy of the program's end, once it has its own."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def read(self) -> NDArray[np.void]:
        """Return what was marked since the last time; never waits."""
        try:
            data = self._rest + os.read(self._read_end, PIPE_BYTES)
        except BlockingIOError:
            return np.zeros(0, RECORD)
        *lines, self._rest = data.split(b"\n")
        marks = [parts for line in lines if len(parts := line.split(b" ", FIELDS - 1)) == FIELDS]
        records = np.zeros(len(marks), RECORD)
        records["kind"] = Kind.PHASE
        for record, (start, duration, tid, pid, name) in zip(records, marks, strict=True):
            record["nr"] = self._number(name.decode("utf-8", "replace"))
            record["start"], record["duration"] = int(start), int(duration)
            record["tid"], record["pid"] = int(tid), int(pid)
        return records

    def close(self) -> None:
        """Close both ends."""
        self.close_write_end()
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1

    def _number(self, name: str) -> int:
        if name not in self.phases:
            self.phases.append(name)
        return self.phases.index(name)
