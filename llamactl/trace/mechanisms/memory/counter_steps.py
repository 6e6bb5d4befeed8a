"""What a counter of all processes gained, step by step between samples, and when nobody looked.

``/proc/PID/io`` of a process takes over what its children had read when it waits for them
(``wait_task_zombie`` in the kernel's exit.c). So what a child was seen to have read is taken off its parent's
gain in the step after the child's last sample; what the child read after that sample stays in it. A child that
was left to init, or was never waited for, is in nobody's counter: its last moments are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from llamactl.trace.capture.arrays import IntArray

Intervals = tuple[IntArray, IntArray]
"""Beginnings and ends, ns."""

FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Life:
    """When a process was there; None for before and after what was recorded."""

    parent: int | None
    began_ns: int | None
    ended_ns: int | None


@dataclass(slots=True)
class _Samples:
    """A process's samples, and its gains between them."""

    life: Life
    moment: IntArray
    value: IntArray
    gain: IntArray = field(init=False)

    def __post_init__(self) -> None:
        if self.life.began_ns is not None and len(self.moment) and self.moment[0] > self.life.began_ns:
            self.moment = np.append(self.life.began_ns, self.moment)
            self.value = np.append(0, self.value)
        self.gain = np.maximum(np.diff(self.value), 0)

    @property
    def last(self) -> tuple[int, int]:
        """The last sample."""
        return int(self.moment[-1]), int(self.value[-1])


@dataclass(frozen=True)
class Steps:
    """Steps between two samples of one process each.

    Attributes:
        low: Begin of each step, ns.
        high: End of each step, ns.
        gain: What was gained.
        pid: Whose it was.
        blind: When something may have been gained that no step counts.
    """

    low: IntArray
    high: IntArray
    gain: IntArray
    pid: IntArray
    blind: Intervals

    @property
    def known(self) -> bool:
        """Whether there is a step at all."""
        return len(self.low) > 0

    def by_process(self) -> dict[int, int]:
        """Return what each process gained in all."""
        pids, index = np.unique(self.pid, return_inverse=True)
        return dict(
            zip(pids.tolist(), np.bincount(index, self.gain).astype(np.int64).tolist(), strict=True)
            if len(pids)
            else ()
        )


def counter_steps(
    series: Mapping[int, tuple[IntArray, IntArray]], lives: Mapping[int, Life], inherited: bool
) -> Steps:
    """Return the steps of a counter that only grows; losses aren't taken off.

    Args:
        series: Moments (ns, rising) and values of each process that was sampled.
        lives: All processes that were recorded; those without samples are unknown.
        inherited: Whether a process that waits for a child takes over the child's count.
    """
    born_alone = Life(None, None, None)
    samples = {
        pid: _Samples(lives.get(pid, born_alone), *pair) for pid, pair in series.items() if len(pair[0])
    }
    blind: list[tuple[int, int]] = []
    for pid in {**lives, **samples}:
        life = lives.get(pid, born_alone)
        heir = _heir(pid, lives, samples) if inherited else None
        if heir is not None and pid in samples:
            _take_off(samples[heir], *samples[pid].last)
        blind += _unseen(life, samples.get(pid), heir is not None)
    none = np.zeros(0, np.int64)
    return Steps(
        np.concatenate([none, *(one.moment[:-1] for one in samples.values())]),
        np.concatenate([none, *(one.moment[1:] for one in samples.values())]),
        np.concatenate([none, *(one.gain for one in samples.values())]),
        np.concatenate([none, *(np.full(len(one.gain), pid) for pid, one in samples.items())]),
        _intervals(blind),
    )


def _heir(pid: int, lives: Mapping[int, Life], samples: Mapping[int, _Samples]) -> int | None:
    """Return the nearest ancestor whose later samples hold what a process that ended had counted."""
    child, seen = lives.get(pid), {pid}
    while (
        child is not None
        and child.parent not in seen
        and child.ended_ns is not None
        and child.parent is not None
    ):
        parent = lives.get(child.parent)
        if parent is None or (parent.ended_ns is not None and parent.ended_ns < child.ended_ns):
            return None  # It was left to init.
        mine = samples.get(child.parent)
        if mine is not None and mine.last[0] > child.ended_ns:
            return child.parent
        seen.add(child.parent)
        child = parent
    return None


def _take_off(heir: _Samples, moment: int, value: int) -> None:
    """Take a child's last sample off the step in which its parent took it over."""
    later = np.flatnonzero((heir.moment[1:] > moment) & (heir.gain >= value))
    if value and len(later):
        heir.gain[later[0]] -= value


def _unseen(life: Life, samples: _Samples | None, inherited: bool) -> list[tuple[int, int]]:
    """Return when a process was there and nobody can tell what it gained."""
    begin = 0 if life.began_ns is None else life.began_ns
    end = FOREVER if life.ended_ns is None else life.ended_ns
    if samples is None:
        return [] if inherited else [(begin, end)]
    first, last = int(samples.moment[0]), samples.last[0]
    found = [(begin, first)] if begin < first else []
    return found + ([(last, end)] if last < end and not inherited else [])


def _intervals(pairs: list[tuple[int, int]]) -> Intervals:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]
