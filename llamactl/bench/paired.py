"""Two engines or two environments in turn, A B B A, in one call: what slows the machine slows both."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

from llamactl.bench.cold import WarmCacheError, check_cold
from llamactl.bench.execute import Draft, Listener, now_utc, standing_warnings
from llamactl.bench.measure import machine
from llamactl.bench.measure.same_cpus import shared_cpus
from llamactl.bench.options import Options
from llamactl.bench.plan import Case
from llamactl.bench.remote import Remote, Side
from llamactl.bench.report import BenchReport, Memory, Result, Sample
from llamactl.bench.session import absolute
from llamactl.engine import guard
from llamactl.errors import UsageError

ROUNDS = 100
"""Both processes are started anew for each round of pairs. Where its memory happens to lie makes a process a
little quicker or slower for all its life, by a percent or two: only new processes show it as the noise it is."""


def execute_paired(
    cases: Sequence[Case], options: Options, base: Side, new: Side, listener: Listener
) -> tuple[BenchReport, BenchReport]:
    """Measure every case on both sides in turn; sample ``i`` of one belongs to sample ``i`` of the other.

    Raises:
        LlamactlError: A side can't be started, loaded or used.
    """
    if any(case.test.kind == "processes" for case in cases):
        raise UsageError("--processes can't be measured in pairs", "Leave it out, or leave --against out.")
    cases = [replace(case, setup=absolute(case.setup)) for case in cases]
    sides, quiet = (base, new), Listener(listener.on_progress, _ignore, _ignore)
    with Remote(base, options) as first, Remote(new, options) as second:
        drafts = Draft(first.environment, cases, quiet), Draft(second.environment, cases, listener)
        for text in standing_warnings(cases):
            drafts[1].warn(text)
        with guard.interruptible():
            for number, case in enumerate(cases, 1):
                time.sleep(options.delay_s)
                try:
                    results = _Turns(case, options, sides, listener, (number, len(cases))).measure()
                except WarmCacheError as why:
                    for draft in drafts:
                        draft.skip(why)
                    continue
                if results is None:
                    break
                for draft, remote, result in zip(drafts, (first, second), results, strict=True):
                    draft.add(result, remote.facts)
    return drafts[0].report(), drafts[1].report()


def pairs_per_process(repetitions: int) -> int:
    """Return how many pairs in a row the same two processes make."""
    return -(-repetitions // ROUNDS)


def _ignore(*_: object) -> None:
    """Take anything and do nothing."""


@dataclass(slots=True)
class _Turns:
    """One case, measured on two sides in turn."""

    case: Case
    options: Options
    sides: tuple[Side, Side]
    listener: Listener
    count: tuple[int, int]
    samples: tuple[list[Sample], list[Sample]] = field(default_factory=lambda: ([], []))
    prepared: list[tuple[dict[str, int] | None, int]] = field(default_factory=list)
    memories: list[Memory | None] = field(default_factory=list)

    def measure(self) -> tuple[Result, Result] | None:
        """Return a result of each side, or ``None`` if Ctrl-C came."""
        started, before = now_utc(), machine.moment()
        count = self.options.repetitions
        pairs = pairs_per_process(count)
        places = cycle(self._places())
        for begin in range(0, count, pairs):
            self.listener.on_progress(*self.count, self.case.test.name, 0)
            cpus = next(places)
            with (
                Remote(self.sides[0], self.options, cpus) as first,
                Remote(self.sides[1], self.options, cpus) as second,
            ):
                if not self._round(range(begin, min(begin + pairs, count)), (first, second)):
                    return None
        around = machine.between(before, machine.moment())
        results = [
            Result(
                self.case.setup, self.case.test, started, tuple(samples), *self.prepared[side],
                self.memories[side], around, machine.doubts(around, samples),
            )
            for side, samples in enumerate(self.samples)
        ]  # fmt: skip
        return results[0], results[1]

    def _places(self) -> list[list[int]]:
        """Return the CPUs of each round; a mask that the user gave holds both sides already."""
        if int(self.case.setup.cpu_mask, 16):
            return [[]]
        return shared_cpus(os.sched_getaffinity(0), self.case.setup.n_threads) or [[]]

    def _round(self, indices: range, remotes: tuple[Remote, Remote]) -> bool:
        for remote in remotes:
            remote.start_preparing(self.case, warm_up=self.options.warm_up)
        self.prepared = [remote.take_prepared() for remote in remotes]
        for index in indices:
            self.listener.on_progress(*self.count, self.case.test.name, index + 1)
            # Whoever goes second may find a warmer or a busier machine: take turns.
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                self.samples[side].append(remotes[side].sample())
                check_cold(self.case, self.samples[side][-1])
            if guard.interrupted():
                return False
        self.memories = [remote.memory() for remote in remotes]
        return True
