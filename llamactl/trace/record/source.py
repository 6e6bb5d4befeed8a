"""The contract of what records beside the recorder of system calls: a new source is a class and a line in a list.

A source looks at the program in its own way (the agent's ring, uprobes, the clock, a pipe) and writes into the
capture what it saw. The session asks its sources in turn, at the same moments; each does what it needs to there,
and nothing where it has nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from llamactl.trace.record.family import Family
from llamactl.trace.record.syscalls.base import Command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.session_kept import Kept
    from llamactl.trace.record.session_parts import Parts
    from llamactl.trace.record.session_types import SessionOptions
    from llamactl.trace.record.syscalls.base import Engine


@dataclass(slots=True)
class Recording:
    """What a recording is of, for its sources.

    Attributes:
        target: The command that is started, or the process that is attached to.
        options: What was asked for.
        engine: What records system calls, and stops the program where that is needed.
        parts: Where a failure is noted.
        family: The processes recorded so far.
        others: Processes that are recorded with an attached one from the beginning.
        sources: All sources, once they are made.
    """

    target: Command | int
    options: SessionOptions
    engine: Engine
    parts: Parts
    family: Family = field(default_factory=Family)
    others: tuple[int, ...] = ()
    sources: list[Source] = field(default_factory=list)

    @property
    def started(self) -> bool:
        """Whether llamactl starts the program."""
        return isinstance(self.target, Command)

    @property
    def pid(self) -> int:
        """The program's process; 0 before it is there."""
        return self.engine.state().pid

    def attached(self) -> tuple[int, ...]:
        """Return the processes that are attached to, the first one first; none where a program is started."""
        return () if isinstance(self.target, Command) else (self.target, *self.others)

    def processes(self) -> set[int]:
        """Return the processes that are known to be recorded now."""
        found = {self.pid, *self.family.alive()}
        for source in self.sources:
            found.update(self.parts.run(source.missing, source.processes, list[int]()))
        return found


class Source:
    """One source of a recording; in the order of the methods.

    An error costs a note that begins with ``missing``, and never the program. Only in :meth:`prepare` and
    :meth:`attach` does a :class:`~llamactl.errors.LlamactlError` end the recording: what was asked for can't be had.

    Attributes:
        missing: What may be incomplete when the source fails, as the beginning of a sentence.
        notes: What the user should know of how it was done, as sentences.
        lost: How many records were lost.
    """

    missing: ClassVar[str]
    lost: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how it was done, as sentences."""
        return ()

    def prepare(self, kept: Kept) -> None:
        """Nothing is started or attached to yet."""

    def command(self, command: Command) -> Command:
        """Return the command as it is to be started."""
        return command

    def starting(self, now: bool) -> None:
        """The program is started right after ``True``, and has been before ``False``."""

    def attach(self) -> None:
        """The recorder has attached: record with it from now on."""

    def begun(self, kept: Kept, begin_ns: int) -> None:
        """The program is there, and recorded from ``begin_ns`` on (CLOCK_MONOTONIC)."""

    def of_program(self, records: NDArray[np.void], strings: memoryview) -> NDArray[np.void]:  # noqa: ARG002
        """Return the records of a batch without those that this source has caused."""
        return records

    def saw(self, records: NDArray[np.void]) -> None:
        """Look at the records of a batch, whose strings are in the capture."""

    def translate(self, records: NDArray[np.void], kept: Kept) -> NDArray[np.void]:  # noqa: ARG002
        """Return the records of a batch as they go into the capture."""
        return records

    def drain(self, kept: Kept, finished: bool) -> None:
        """Write what has come in; ten times a second and more often. ``finished``: the program has ended."""

    def processes(self) -> list[int]:
        """Return the processes that this source knows of."""
        return []

    def stop(self, kept: Kept) -> None:
        """Write what has come in up to now, and record no more, while the program goes on."""

    def let_go(self) -> None:
        """The program runs on by itself, or ends."""

    def finish(self, kept: Kept) -> None:
        """Write what is left and the metadata; nothing more will come. Also after :meth:`stop`."""

    def facts(self) -> dict[str, Any]:
        """Return what is known after the last record, for the capture's metadata."""
        return {}

    def close(self) -> None:
        """Leave nothing behind; also where it has never begun."""
