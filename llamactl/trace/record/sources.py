"""The sources of a recording: the one list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.trace.record.calls.caught import Caught
from llamactl.trace.record.clocked.marked import Marked
from llamactl.trace.record.clocked.samples import Samples
from llamactl.trace.record.clocked.waits import Waits
from llamactl.trace.record.ending.ended import CallsUnderWay, FilesLeft, Limits, Status
from llamactl.trace.record.session_agent import AgentPart
from llamactl.trace.record.session_engines import EnginesPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.record.source import Recording, Source


def make_sources(recording: Recording) -> None:
    """Make all sources of a recording, in the order in which they are asked; one that fails is left out."""
    agents: list[AgentPart] = []

    def agent() -> AgentPart:
        agents.append(AgentPart(recording))
        return agents[0]

    makers: dict[type[Source], Callable[[], Source]] = {
        Marked: lambda: Marked(recording),
        Waits: lambda: Waits(recording),
        AgentPart: agent,
        Caught: lambda: Caught(recording, agents[0] if agents else None),
        EnginesPart: lambda: EnginesPart(recording, agents[0] if agents else None),
        Samples: lambda: Samples(recording),
        CallsUnderWay: lambda: CallsUnderWay(recording),
        Limits: lambda: Limits(recording),
        Status: lambda: Status(recording),
        FilesLeft: lambda: FilesLeft(recording),
    }
    made = (recording.parts.run(kind.missing, make, None) for kind, make in makers.items())
    recording.sources += [source for source in made if source is not None]
