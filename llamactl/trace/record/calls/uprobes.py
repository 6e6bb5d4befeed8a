"""Uprobes: the kernel catches the calls of a running program; nothing is left in it whatever happens to us."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.record.buffers.watch import Watch, without_own
from llamactl.trace.record.calls.calls import CallTable
from llamactl.trace.record.calls.points import new_points, point_of
from llamactl.trace.record.calls.rings import Rings
from llamactl.trace.record.calls.targets import (
    CALLBACK_FUNCTIONS,
    FLOAT,
    FUNCTIONS,
    GIL_FUNCTIONS,
    STRING,
    EngineMissingError,
    Found,
    Target,
    find_targets,
    kept_of,
)
from llamactl.trace.record.calls.uprobe_cost import calibrate_uprobes, kinds_of
from llamactl.trace.record.calls.uprobe_events import UprobeEvents
from llamactl.trace.record.engines_seen import EnginesSeen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.capture.writer import CaptureWriter

UNSEEN = frozenset({FLOAT, STRING})
"""A sample has no vector registers, and no memory but the stack's top: such arguments aren't kept."""
GREENLETS = "the program uses greenlets, which move stacks about: uprobes can't wait for returns"
NO_ENDS = (
    "{} calls llama.cpp from C++: an exception that it catches would end the program if uprobes waited for the"
    " call's return, so calls have no end; breakpoints let exceptions pass"
)


@dataclass(frozen=True, slots=True)
class UprobeLosses:
    """What wasn't recorded: records that found a ring full; ``inner`` calls of llama.cpp are left out."""

    records: int
    inner: int


class UprobeSource:
    """Records the calls of a running program, and who reads its logits.

    Offers the same as the agent's source: ``drain``, ``finish``, ``losses``, ``metadata``, ``close``.

    Args:
        pid: The program.
        names: The functions; None for what ``find_targets`` chooses.
        gil: Whether to catch the GIL's functions.
        watch: Whether to watch the logits.
        functions: The table of functions that sources of several processes share; None for one of its own.

    Where llama.cpp's caller is C++, calls are recorded without an end (see ``NO_ENDS``).

    Raises:
        LlamactlError: Uprobes are refused (they need root), or there is no llama.cpp.
    """

    def __init__(
        self,
        pid: int,
        names: frozenset[str] | None = None,
        gil: bool = True,
        watch: bool = False,
        functions: list[Function] | None = None,
    ) -> None:
        self._found = _distinct(find_targets(pid, names, gil))
        if not any(target.name.startswith(FUNCTIONS) for target in self._found.targets) and not (
            self._found.targets and _is_hidden(pid)
        ):
            raise EngineMissingError(f"process {pid} has no library of llama.cpp with functions to catch")
        exports = self._found.exports
        kept = [kept_of(t.name, exports.get(t.library, ()), UNSEEN) for t in self._found.targets]
        self._calls = CallTable(self._found, kept, functions)
        maps = self._found.maps
        places = [(str(maps.readable(target.library)), target.offset) for target in self._found.targets]
        rows = [
            point_of(nr, target, item, watch and target.name in LOGITS)
            for nr, (target, item) in enumerate(zip(self._found.targets, kept, strict=True))
        ]
        for row, target in zip(rows, self._found.targets, strict=True):
            row["endless"] = bool(self.notes) and target.name not in (*GIL_FUNCTIONS, *CALLBACK_FUNCTIONS)
        self._cost = calibrate_uprobes()
        self._hits, self._cost_ns, self._inside_ns = 0, 0.0, 0.0
        if self._cost is not None:
            kinds = kinds_of(places)
            self._per_call = np.array([cost.per_call_ns for cost in self._cost])[kinds]
            self._inside = np.array([cost.inside_ns for cost in self._cost])[kinds]
        leave = {place for place, row in zip(places, rows, strict=True) if not row["endless"]}
        self._events = UprobeEvents(set(places), leave)
        try:
            self._rings = Rings(pid, new_points(rows, self._found.ranges), self._events.ids)
        except LlamactlError:
            self._events.close()
            raise
        self._watch = Watch(self._rings) if watch else None

    def begin(self) -> None:
        """Record from now on."""
        self._rings.begin()

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in; to be called every few ms. Returns how many records that was."""
        return self._keep(self._rings.take(), writer)

    def finish(self, writer: CaptureWriter) -> int:
        """Record no more; write what is left, calls in progress included, and the metadata."""
        count = self._keep(self._rings.stop(), writer)
        writer.metadata(self.metadata())
        return count

    def _keep(self, records: NDArray[np.void], writer: CaptureWriter) -> int:
        records = self._calls.translate(self._without_cost(records))
        if self._watch is not None:
            self._watch.follow(records[records["kind"] == Kind.CALL], self._calls.functions)
            self._watch.resolve(records, writer.add_string)
            records = without_own(records, self._calls.functions)
        writer.records(records)
        return len(records)

    def _without_cost(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Let calls begin when the uprobe at their entry had done its work, and last as long as without it."""
        if self._cost is not None:
            calls = records["kind"] == Kind.CALL
            targets = records["nr"][calls].astype(np.intp)
            self._hits += len(targets)
            self._cost_ns += float(self._per_call[targets].sum())
            self._inside_ns += float(self._inside[targets].sum())
            ended = (records["flags"][calls] & Flag.NO_EXIT) == 0
            rows = np.flatnonzero(calls)[ended]
            inside = self._inside[targets[ended]].astype(np.uint64)
            # An ended call took some time. Most of the cost comes before the function's first instruction, so what
            # happened within the call stays within it.
            cut = np.minimum(inside, np.maximum(records["duration"][rows], np.uint64(1)) - np.uint64(1))
            records["start"][rows] += cut
            records["duration"][rows] -= cut
        return records

    def _mean(self, total_ns: float) -> float | None:
        """Return the mean of the calls caught; None where their cost isn't known."""
        if self._cost is None:
            return None
        return total_ns / self._hits if self._hits else 0.0

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is caught."""
        return self._found.targets

    @property
    def notes(self) -> tuple[str, ...]:
        """What turned out to be different from the plan, as sentences."""
        catching = self._found.catching
        if any(PurePosixPath(path).name.startswith("_greenlet.") for path in self._found.maps.objects()):
            return (GREENLETS,)
        return (NO_ENDS.format(PurePosixPath(catching[0]).name),) if catching else ()

    @property
    def without_ends(self) -> bool:
        """Whether llama.cpp's caller is C++, so that calls have no end; breakpoints see it."""
        return self.notes != () and self.notes[0] != GREENLETS

    @property
    def finished(self) -> bool:
        """Whether the program has ended."""
        return self._rings.finished

    def losses(self) -> UprobeLosses:
        """Return what wasn't recorded."""
        return UprobeLosses(self._rings.lost, self._rings.inner)

    def metadata(self) -> dict[str, Any]:
        """Return "functions", "function_table", "boundary" with how it was done, and "watch"."""
        about = {
            "way": "uprobes",
            "armed": len(self._found.targets),
            "inner": self._rings.inner,
            "lost": self._rings.lost,
            "hits": self._hits,
            "per_call_ns": self._mean(self._cost_ns),
            "inside_ns": self._mean(self._inside_ns),
            "no_ends": next(iter(self.notes), None),
        }
        more = {"watch": self._watch.metadata()} if self._watch is not None else {}
        return {**self._calls.metadata(), "boundary": about, **more}

    def close(self) -> None:
        """Remove the uprobes."""
        self._rings.close()
        self._events.close()


def _is_hidden(pid: int) -> bool:
    """Tell whether an engine is there that exports nothing: its module's use of the GIL can be caught."""
    return any(seen.exported is False for seen in EnginesSeen(None).look([pid]))


def _distinct(found: Found) -> Found:
    """Several names may mean one address: the first is kept."""
    first = {target.address: target for target in reversed(found.targets)}
    kept = tuple(target for target in found.targets if first[target.address] is target)
    return replace(found, targets=kept)
