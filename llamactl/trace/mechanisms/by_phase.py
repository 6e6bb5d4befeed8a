"""System calls, errors, faults and time by phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.phases import ORDER, OUTSIDE, Phases, Waiters
from llamactl.trace.mechanisms.syscalls.transfers import FILE_READS, FILE_WRITES, PASSING
from llamactl.trace.mechanisms.view import ARCHITECTURES, CODES, View, codes_of, name_of

_KNOWN = {name: index for index, name in enumerate(ORDER)}


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One phase; ``wall_s`` is None for what lies outside all phases."""

    name: str
    count: int
    """System calls."""
    intervals: int | None
    wall_s: float | None
    unfinished: int
    """Intervals that were still open when recording ended: ``wall_s`` has what was seen of them."""
    errors: int
    total_ns: int
    """Time inside system calls, summed over all threads."""
    read_bytes: int
    written_bytes: int
    minor_faults: int | None
    major_faults: int | None
    top: tuple[tuple[str, int], ...]
    """The most frequent calls with their counts."""
    awaited: Waiters = ()
    """Of ``wall_s``: which functions waited for what the phase had started on a device, and for how long, ns."""


class PhaseTable:
    """Adds up by phase.

    Args:
        phases: The phases of the capture.
    """

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        rows = len(phases.names) + 1
        size = ARCHITECTURES * CODES
        self._codes = np.zeros((rows, size), np.int64)
        self._errors = np.zeros(rows, np.int64)
        self._total = np.zeros(rows)
        self._moved = np.zeros((2, rows))
        self._faults = np.zeros((2, rows), np.int64)
        self._moving = (codes_of(FILE_READS | PASSING), codes_of(FILE_WRITES | PASSING))

    def add(self, view: View) -> None:
        """Count the records of a piece."""
        rows, size = self._codes.shape
        phase = view.phase(self._phases)
        self._codes += np.bincount(phase * size + view.code, minlength=rows * size).reshape(rows, size)
        self._errors += np.bincount(phase[view.failed], minlength=rows)
        self._total += np.bincount(phase, view.duration, minlength=rows)
        for index, table in enumerate(self._moving):
            moving = table[view.code] & (view.ret > 0)
            self._moved[index] += np.bincount(phase[moving], view.ret[moving], minlength=rows)
        if (view.kind == Kind.FAULT).any():
            faults = view.of_kind(Kind.FAULT)
            fault_phase = self._phases.of(faults["start"].astype(np.int64))
            for index in (0, 1):
                self._faults[index] += np.bincount(fault_phase[faults["nr"] == index], minlength=rows)

    def rows(self) -> list[PhaseRow]:
        """Return the phases in their order, then what lies outside; empty ones are left out."""
        names = [*self._phases.names, OUTSIDE]
        seconds, counts, still_open = self._phases.seconds(), self._phases.counts(), self._phases.still_open()
        saw_faults = bool(self._faults.any())
        found = []
        for index, name in enumerate(names):
            if not self._codes[index].any() and not counts.get(name):
                continue
            found.append(
                PhaseRow(
                    name=name,
                    count=int(self._codes[index].sum()),
                    intervals=counts.get(name),
                    wall_s=seconds.get(name),
                    unfinished=still_open.get(name, 0),
                    errors=int(self._errors[index]),
                    total_ns=int(self._total[index]),
                    read_bytes=int(self._moved[0, index]),
                    written_bytes=int(self._moved[1, index]),
                    minor_faults=int(self._faults[0, index]) if saw_faults else None,
                    major_faults=int(self._faults[1, index]) if saw_faults else None,
                    top=self._top(index),
                    awaited=self._phases.awaited.get(name, ()),
                )
            )
        return sorted(found, key=lambda row: _KNOWN.get(row.name, len(_KNOWN)))

    def _top(self, index: int, limit: int = 4) -> tuple[tuple[str, int], ...]:
        counts = self._codes[index]
        order = np.argsort(-counts, kind="stable")[:limit]
        return tuple((name_of(int(code)), int(counts[code])) for code in order if counts[code])
