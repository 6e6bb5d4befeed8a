"""The contract of a mechanism: one way by which a program exchanges something, drawn from the pieces of a capture.

A mechanism is one file and one line in ``registry.py``. Its facts are a dataclass whose fields bear units; the report,
its tables and every output are drawn from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from llamactl.trace.mechanisms.findings.finding import Finding, Look
from llamactl.trace.mechanisms.table import Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene

F = TypeVar("F")


class State(Enum):
    """What a verdict comes to."""

    OK = "ok"
    UNUSED = "unused"
    """There is nothing to judge."""
    UNKNOWN = "unknown"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a mechanism; ``word`` says in capitals what asks for attention."""

    state: State
    word: str = ""


OK = Verdict(State.OK)
UNUSED = Verdict(State.UNUSED)
UNKNOWN = Verdict(State.UNKNOWN)


def attention(word: str) -> Verdict:
    """Return the verdict that asks for attention."""
    return Verdict(State.ATTENTION, word)


class Drawn(Protocol):
    """The facts of all mechanisms; each is drawn when it is first asked for."""

    def of(self, kind: type[F]) -> F:
        """Return the facts of this type."""
        ...


class Mechanism(Generic[F]):
    """One mechanism.

    Attributes:
        name: Its name in JSON.
        title: What stands before its row in the report.
        explanation: In two sentences, what it is and why it matters.
        facts: The dataclass of its facts.
        tables: Which lists among the facts are tables.
        looks: What finds something in the report.

    Args:
        scene: What several mechanisms look at.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    explanation: ClassVar[str] = ""
    facts: ClassVar[type[Any]]
    tables: ClassVar[tuple[Table, ...]] = ()
    looks: ClassVar[tuple[Look, ...]] = ()

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def add(self, piece: Piece) -> None:
        """Take the next piece of the capture."""

    def draw(self, drawn: Drawn) -> F:
        """Return the facts, after the last piece.

        Args:
            drawn: The facts of other mechanisms.
        """
        raise NotImplementedError

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict | None:  # noqa: ARG003 - most look at it
        """Return the verdict of the row in the report; None for no row."""
        return None

    @classmethod
    def findings(cls, report: TraceReport) -> Iterator[Finding]:
        """Return what was found, with its figures."""
        for look in cls.looks:
            yield from look(report)
