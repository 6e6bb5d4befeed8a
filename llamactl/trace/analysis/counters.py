"""Counters over time: memory, threads, bytes read from disk; and what they gained in each phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.phases import OUTSIDE, Phases
from llamactl.trace.analysis.view import View
from llamactl.trace.capture.record import Kind

IntArray = NDArray[np.int64]

KEPT = 100_000
"""Samples kept per capture; recorders take a few per second."""


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One counter; ``count`` is how many samples there are."""

    name: str
    count: int
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
        """Return each counter; gains come from samples next to each other, by the later one's phase."""
        if not self._parts:
            return []
        samples = np.concatenate(self._parts, axis=1)
        return [
            self._row(int(number), samples[:, samples[0] == number], phases)
            for number in np.unique(samples[0])
        ]

    def series(self, name: str) -> tuple[IntArray, IntArray]:
        """Return the moments (ns, rising) and values of one counter of the process sampled most."""
        empty = np.empty(0, np.int64)
        if not self._parts or name not in self._names:
            return empty, empty
        samples = np.concatenate(self._parts, axis=1)
        samples = samples[:, samples[0] == self._names.index(name)]
        if not samples.shape[1]:
            return empty, empty
        pids, counts = np.unique(samples[1], return_counts=True)
        samples = samples[:, samples[1] == pids[counts.argmax()]]
        order = np.argsort(samples[2], kind="stable")
        return samples[2][order], samples[3][order]

    def _row(self, number: int, samples: IntArray, phases: Phases) -> CounterRow:
        samples = samples[:, np.argsort(samples[2], kind="stable")]
        value = samples[3]
        names = [*phases.names, OUTSIDE]
        phase = phases.of(samples[2][1:] - 1)
        gained = np.bincount(phase, np.diff(value), minlength=len(names))
        name = self._names[number] if number < len(self._names) else f"counter {number}"
        return CounterRow(
            name=name,
            count=len(value),
            first=int(value[0]),
            last=int(value[-1]),
            largest=int(value.max()),
            gained_by_phase={key: int(total) for key, total in zip(names, gained, strict=True) if total},
        )
