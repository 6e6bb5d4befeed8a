"""Which records a view shows: the part of a selection that is applied after recording."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.decode.filters import Selection
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.phases import OUTSIDE, Phases
from llamactl.trace.mechanisms.view import ARCHITECTURES, CODES, View


@dataclass(frozen=True)
class PostFilter:
    """Keeps the SYSCALL records that a selection wants.

    Args:
        selection: What to show.
        phases: The phases of the capture.
        called: By thread the words for it, in small letters.
        names: Numbers of names.
    """

    selection: Selection
    phases: Phases
    called: dict[int, set[str]]
    names: Names

    def keep(self, view: View, resolved: IntArray) -> NDArray[np.bool_]:
        """Return which SYSCALL records of the piece are shown.

        Args:
            view: The piece.
            resolved: What ``FdTable.resolve`` returned for it.
        """
        chosen = self.selection
        kept = np.ones(len(view.calls), dtype=bool)
        if chosen.calls is not None:
            table = np.zeros(ARCHITECTURES * CODES, dtype=bool)
            table[[number for number in chosen.calls if number < CODES]] = True
            kept &= table[view.code % CODES]
        if chosen.errors:
            kept &= view.failed
        if chosen.phases:
            wanted = np.array([name in chosen.phases for name in (*self.phases.names, OUTSIDE)])
            kept &= wanted[view.phase(self.phases)]
        if chosen.threads:
            asked = {word.lower() for word in chosen.threads}
            wanted_tids = [tid for tid, words in self.called.items() if words & asked]
            kept &= np.isin(view.tid, wanted_tids)
        if chosen.paths:
            kept &= self._on_paths(view, resolved)
        return kept

    def _on_paths(self, view: View, resolved: IntArray) -> NDArray[np.bool_]:
        """Keep calls that name a path or work on it; as in strace, also under its resolved name."""
        wanted: set[bytes] = set(self.selection.paths)
        wanted |= {os.path.realpath(path) for path in self.selection.paths}
        texts = [self.names.numbers(view.field(column)) for column in ("text", "text2")]
        numbers = [self.names.number(path) for path in wanted]
        kept = np.isin(resolved, numbers)
        for column in texts:
            kept |= np.isin(column, numbers)
        return kept
