"""Memory: what grows from request to request, what couldn't be locked."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.trace.mechanisms.findings import memory
from llamactl.trace.mechanisms.mechanism import Drawn, Mechanism
from llamactl.trace.mechanisms.memory.memory_growth import MemoryGrowth, memory_growth


@dataclass(frozen=True)
class MemoryFacts:
    """Memory that isn't given back."""

    memory_growth: MemoryGrowth | None


class Memory(Mechanism[MemoryFacts]):
    """Memory; it has findings and no row."""

    name = "memory"
    facts = MemoryFacts
    looks = memory.LOOKS

    def draw(self, drawn: Drawn) -> MemoryFacts:  # noqa: ARG002 - from the counters
        """Return what grew."""
        scene = self.scene
        return MemoryFacts(memory_growth(scene.counters.series("rss_bytes"), scene.phases, scene.calls))
