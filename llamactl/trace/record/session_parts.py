"""The parts of a recording beside its engine: one that fails costs a note, never the program or the recording."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(slots=True)
class _Failure:
    times: int
    first: str


class Parts:
    """Runs what a session does besides resuming the program, and keeps what went wrong.

    A part that failed is tried again: what made it fail may have been a moment's. ``Exception`` is caught and
    not less, since a fault of ours, whichever it is, is no reason to end somebody's program.
    """

    def __init__(self) -> None:
        self._failures: dict[str, _Failure] = {}

    def run(self, what: str, part: Callable[[], T], otherwise: T) -> T:
        """Return what ``part`` returns; ``otherwise`` when it raises.

        Args:
            what: What is missing then, as the beginning of a sentence.
            part: Called once.
            otherwise: What stands for its result.
        """
        try:
            return part()
        except Exception as error:
            self.failed(what, error)
            return otherwise

    def failed(self, what: str, error: BaseException) -> None:
        """Keep that a part failed; the first error of each is told."""
        failure = self._failures.setdefault(what, _Failure(0, _told(error)))
        failure.times += 1

    @property
    def failures(self) -> int:
        """How often something failed."""
        return sum(found.times for found in self._failures.values())

    @property
    def any_failed(self) -> bool:
        """Whether anything is missing."""
        return bool(self._failures)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each part that failed."""
        return tuple(
            f"{what} may be incomplete: an internal error, {'once' if found.times == 1 else f'{found.times} times'}"
            f" ({found.first}). The program wasn't disturbed. Please report it"
            for what, found in self._failures.items()
        )


def _told(error: BaseException) -> str:
    """Return kind, message and our own line nearest to where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{__package__.partition('.')[0]}/" in frame.filename]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"
