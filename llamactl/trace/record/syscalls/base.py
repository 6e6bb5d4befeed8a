"""What every engine offers: start or attach, poll, stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.syscalls.ptrace import PtraceEngine


@dataclass(frozen=True, slots=True)
class Command:
    """A program to be started.

    Attributes:
        argv: The program and its arguments; the first is looked up in the PATH of ``env``.
        env: Its environment; None for ours.
        cwd: Where it starts; None for here.
        pass_fds: File descriptors that it inherits besides 0, 1 and 2.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What to record.

    Attributes:
        selection: Numbers of the system calls (of this machine's native ABI); None for all.
        faults: Whether page faults are recorded, by an engine that can.
        loops: For calibration: instead of a program, a child that makes this many ``getppid`` calls.
        foreign: Whether this engine records the calls of programs of another architecture, such as 32 bits.
        asks: The program stops to say where a buffer is that is to be watched (``native/calls/handed_out.h``).
    """

    selection: frozenset[int] | None = None
    faults: bool = True
    loops: int = 0
    foreign: bool = True
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Records as an engine hands them out; both views are valid until the next poll.

    Attributes:
        records: dtype ``RECORD``; ``text`` and ``text2`` are offsets in ``strings`` plus one.
        strings: Strings as in a capture's arena: u32 length, bytes.
    """

    records: NDArray[np.void]
    strings: memoryview


@dataclass(frozen=True, slots=True)
class State:
    """How a recording stands.

    Attributes:
        pid: The program's process; 0 before it started.
        finished: Nothing more will come.
        wait_status: As from ``os.waitpid``; None while it runs, or when it isn't our child.
        lost: Records that were lost.
        stops: How often the program was stopped; 0 for an engine that doesn't stop it.
        loop_ns: With ``Options.loops``: how long the loop takes where nothing interrupts it, after the least of its
            rounds; 0 otherwise.
        notes: What turned out to be different from the plan, as sentences.
    """

    pid: int
    finished: bool
    wait_status: int | None
    lost: int
    stops: int
    loop_ns: int = 0
    notes: tuple[str, ...] = ()


class Engine(ABC):
    """One recording. An instance is used once.

    ``start``, ``attach`` and the constructor raise :class:`~llamactl.errors.LlamactlError` with what was
    refused, why, and the remedy.
    """

    name: ClassVar[str]
    blind: tuple[str, ...]
    """What this engine can't see, as sentences."""
    without_stops: str = "no strings"
    """What is missing where the program can't be stopped, of an engine that needs few stops."""
    strings_when_attached: bool = True
    """Whether it reads the strings of a program that it attaches to."""

    enters_again: bool = False
    """Whether attaching makes threads enter the call anew in which they wait, so that it is recorded."""

    @property
    def stopper(self) -> PtraceEngine | None:
        """What stops the program's threads, so that breakpoints and watchpoints can be set; None for no stops."""
        return None

    @abstractmethod
    def start(self, command: Command) -> None:
        """Start a program and record it from its ``execve`` on, with every child and thread."""

    @abstractmethod
    def attach(self, pid: int, others: Sequence[int] = ()) -> None:
        """Record a running process with all its threads, and the children it starts from now on.

        Args:
            pid: The process; recording ends with it at the latest.
            others: Processes to be recorded with it, such as children that it has already.
        """

    @abstractmethod
    def poll(self, timeout_s: float) -> Batch | None:
        """Return the next records; None when nothing came within ``timeout_s``, or nothing ever will."""

    @abstractmethod
    def pass_through(self) -> None:
        """Record no more, but let the program run on to its end."""

    @abstractmethod
    def detach(self) -> None:
        """Let the program go; :attr:`State.finished` follows."""

    @abstractmethod
    def kill(self) -> None:
        """End the program that was started, with all its children."""

    @abstractmethod
    def state(self) -> State:
        """Return how the recording stands."""

    @abstractmethod
    def close(self) -> None:
        """Free everything. A started program that still runs is killed, an attached one let go."""
