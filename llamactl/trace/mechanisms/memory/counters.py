"""Counters over time: memory, threads, bytes read from disk; and what they gained in each phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.phases import OUTSIDE, Phases
from llamactl.trace.mechanisms.view import View

KEPT = 1_000_000
"""Samples kept per capture (32 MB); recorders take a few per second and process."""


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One counter of one process; ``count`` is how many samples there are."""

    name: str
    count: int
    pid: int
    first: int
    last: int
    largest: int
    gained_by_phase: dict[str, int]


class CounterTable:
    """Collects COUNTER records.

    Args:
        names: ``counters`` of the metadata.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._parts: list[IntArray] = []
        self._count = 0

    def add(self, view: View) -> None:
        """Collect the samples of a piece."""
        if self._count < KEPT and (view.kind == Kind.COUNTER).any():
            records = view.of_kind(Kind.COUNTER)[: KEPT - self._count]
            self._count += len(records)
            columns = (records["nr"], records["pid"], records["start"], records["ret"])
            self._parts.append(np.stack([column.astype(np.int64) for column in columns]))

    def rows(self, phases: Phases) -> list[CounterRow]:
        """Return each counter of each process; gains come from samples next to each other, by the later one's phase."""
        return [self._row(*owner, *pair, phases) for owner, pair in self._samples().items()]

    def series(self, name: str) -> dict[int, tuple[IntArray, IntArray]]:
        """Return the moments (ns, rising) and values of one counter by process."""
        number = self._names.index(name) if name in self._names else None
        return {pid: pair for (its, pid), pair in self._samples().items() if its == number}

    def largest(self, name: str) -> dict[int, int]:
        """Return the largest value of one counter by process."""
        return {pid: int(value.max()) for pid, (_, value) in self.series(name).items()}

    def first_process(self) -> int | None:
        """Return the process that was sampled first."""
        return int(self._parts[0][1, self._parts[0][2].argmin()]) if self._parts else None

    def _samples(self) -> dict[tuple[int, int], tuple[IntArray, IntArray]]:
        """Return the moments and values of each counter of each process, sorted."""
        if not self._parts:
            return {}
        samples = np.concatenate(self._parts, axis=1)
        self._parts = [samples[:, np.lexsort((samples[2], samples[1], samples[0]))]]
        samples = self._parts[0]
        cuts = np.flatnonzero((np.diff(samples[0]) != 0) | (np.diff(samples[1]) != 0)) + 1
        groups = np.split(samples, cuts, axis=1)
        return {(int(group[0, 0]), int(group[1, 0])): (group[2], group[3]) for group in groups}

    def _row(self, number: int, pid: int, moment: IntArray, value: IntArray, phases: Phases) -> CounterRow:
        names = [*phases.names, OUTSIDE]
        phase = phases.of(moment[1:] - 1)
        gained = np.bincount(phase, np.diff(value), minlength=len(names))
        name = self._names[number] if number < len(self._names) else f"counter {number}"
        return CounterRow(
            name=name,
            count=len(value),
            pid=pid,
            first=int(value[0]),
            last=int(value[-1]),
            largest=int(value.max()),
            gained_by_phase={key: int(total) for key, total in zip(names, gained, strict=True) if total},
        )
