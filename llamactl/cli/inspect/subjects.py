"""The things that can be inspected: each knows how to look, and its text and its document."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from llamactl.errors import LlamactlError


class Subject(Protocol):
    """Something to look at, again and again with ``--watch``."""

    def text(self) -> str:
        """Look, and return what was found as text."""

    def document(self) -> dict[str, Any]:
        """Look, and return what was found as a JSON document."""

    @property
    def problem(self) -> LlamactlError | None:
        """What was wrong with it at the last look, to be said after what could be shown."""
        return None


def check_sections(only: tuple[str, ...], known: Sequence[str], what: str) -> None:
    """Refuse a section that there isn't."""
    from llamactl.errors import UsageError

    for name in only:
        if name not in known:
            raise UsageError(f"--only {name}: {what} has no such section", f"It has: {', '.join(known)}.")


@dataclass(frozen=True, slots=True)
class ProcessSubject(Subject):
    """A process, with or without its descendants."""

    pid: int
    only: tuple[str, ...]
    children: bool
    python: str | None
    modules: tuple[str, ...]
    watched: bool

    def _look(self) -> list[Any]:
        from llamactl.errors import UsageError
        from llamactl.process.descendants import descendants
        from llamactl.snapshot.process.snapshot import SECTIONS, inspect_process

        check_sections(self.only, SECTIONS, "a process")
        # Asking the interpreter again every second would only cost time: its structs don't change.
        usual = ("memory", "threads", "limits") if self.watched else SECTIONS
        sections = self.only or usual
        modules = self.modules or None
        found = [inspect_process(self.pid, sections, self.python, modules)]
        for child in descendants(self.pid) if self.children else ():
            with contextlib.suppress(UsageError):  # it has ended since the list was made
                found.append(inspect_process(child, sections, None, modules))
        return found

    def text(self) -> str:
        """Return each process as a block of text."""
        from llamactl.render.inspect.process import process_text, watch_text

        if self.watched and not self.only:
            return "\n".join(watch_text(one, max(_terminal_lines() - 20, 4)) for one in self._look())
        return "\n".join(process_text(one, self.only) for one in self._look())

    def document(self) -> dict[str, Any]:
        """Return all processes in one document."""
        from llamactl.render.inspect.json import process_document

        return process_document(self._look())


def _terminal_lines() -> int:
    try:
        return os.get_terminal_size().lines
    except OSError:  # not a terminal
        return 24


@dataclass(frozen=True, slots=True)
class AbiSubject(Subject):
    """A Python environment, of which the binding is checked against the library it loads."""

    python: str
    modules: tuple[str, ...]

    def _look(self) -> Any:
        from llamactl.process.engine.abi import MODULES, check_abi

        return check_abi(self.python, None, self.modules or MODULES)

    def text(self) -> str:
        """Return the check as lines."""
        from llamactl.render.inspect.engine import abi_lines

        return "\n".join(abi_lines(self._look())) + "\n"

    def document(self) -> dict[str, Any]:
        """Return the check as a document."""
        from llamactl.render.inspect.json import abi_document

        return abi_document(self._look())
