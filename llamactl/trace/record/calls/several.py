"""Calls of several processes at once, by uprobes: a server and the workers that it had already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.trace.record.calls.targets import EngineMissingError
from llamactl.trace.record.calls.uprobes import UprobeSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.capture.writer import CaptureWriter

MOST_PROCESSES = 8
"""Each has rings of its own, some megabytes for each CPU."""


class SeveralCalls:
    """Offers what :class:`~llamactl.trace.record.calls.attached.AttachedCalls` asks for.

    Args:
        pids: The processes; those without llama.cpp are left out.
        watch: Whether to watch the logits.

    Raises:
        LlamactlError: Uprobes are refused, or no process has llama.cpp.
    """

    def __init__(self, pids: Sequence[int], watch: bool) -> None:
        self._functions: list[Function] = []
        self._sources: list[UprobeSource] = []
        self._left_out = 0
        missing: LlamactlError | None = None
        for pid in pids:
            if len(self._sources) == MOST_PROCESSES:
                self._left_out += 1
                continue
            try:
                self._sources.append(UprobeSource(pid, watch=watch, functions=self._functions))
            except EngineMissingError as error:
                missing = missing or error
            except LlamactlError as error:
                missing = error  # Refused, or that one has ended meanwhile.
        if not self._sources:
            raise missing or EngineMissingError("no process has a library of llama.cpp")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how it was done, as sentences."""
        notes = dict.fromkeys(note for source in self._sources for note in source.notes)
        if self._left_out:
            notes[f"calls of {self._left_out} processes aren't caught: of {MOST_PROCESSES} at most"] = None
        return tuple(notes)

    def attached(self) -> None:
        """Record from now on."""
        for source in self._sources:
            source.begin()

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:  # noqa: ARG002
        """Return a batch of the engine's as it is."""
        return records

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in."""
        return sum(source.drain(writer) for source in self._sources)

    def ended(self, writer: CaptureWriter) -> int:
        """Record no more, and write what is left."""
        count = sum(source.finish(writer) for source in self._sources)
        writer.metadata(self._metadata())
        return count

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left and the metadata."""
        return self.ended(writer)

    def _metadata(self) -> dict[str, Any]:
        """Return what the sources say, their sums, and the table that they share."""
        every = [source.metadata() for source in self._sources]
        boundaries = [one["boundary"] for one in every]
        sums = {key: sum(one[key] for one in boundaries) for key in ("armed", "inner", "lost", "hits")}
        ends = next((one["no_ends"] for one in boundaries if one["no_ends"]), None)
        merged = {key: value for one in every for key, value in one.items()}
        cost = {name: _mean(boundaries, name) for name in ("per_call_ns", "inside_ns")}
        about = {**boundaries[0], **sums, **cost, "no_ends": ends, "processes": len(every)}
        return {**merged, "boundary": about}

    def close(self) -> None:
        """Remove the uprobes."""
        for source in self._sources:
            source.close()


def _mean(boundaries: list[dict[str, Any]], name: str) -> float | None:
    """Return the mean over the calls of all processes; None where one of them isn't known."""
    if any(one[name] is None for one in boundaries):
        return None
    hits = sum(one["hits"] for one in boundaries)
    return sum(one[name] * one["hits"] for one in boundaries) / hits if hits else 0.0
