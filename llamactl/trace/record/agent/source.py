"""The agent as one source of a recording: what a session starts, drains and asks for metadata."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.own_calls import OwnCalls
from llamactl.trace.record.agent.ring import CAPACITY, Losses, Ring

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.capture.writer import CaptureWriter


class AgentSource:
    """Records the calls of one program and its children.

    Args:
        capacity: Records that fit between two drains.

    Raises:
        LlamactlError: The agent isn't installed, or there is no room for its ring.

    Attributes:
        own_calls: Tells the agent's system calls from the program's.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._agent = find_agent()
        self._ring = Ring(capacity)
        self.own_calls = OwnCalls(self._agent)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment to start the program with."""
        return agent_environment(environment, self._agent, self._ring.address)

    def inherit(self, wanted: bool) -> None:
        """Let the program that is started next have the ring's descriptor, or not; see :meth:`Ring.inherit`."""
        self._ring.inherit(wanted)

    def ask_for_buffers(self) -> NDArray[np.uint32]:
        """See :meth:`Ring.ask_for_buffers`; before the program starts."""
        return self._ring.ask_for_buffers()

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in; to be called every few ms. Returns how many records that was."""
        records = self._ring.intern(self._ring.drain(), writer.add_string)
        writer.records(records)
        return len(records)

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left after the program's end, calls in progress included, and the metadata."""
        records = self._ring.intern(self._ring.finish(), writer.add_string)
        writer.records(records)
        writer.metadata(self.metadata())
        return len(records)

    def functions(self) -> list[Function]:
        """Return the functions bound so far; a record's ``nr`` is an index."""
        return self._ring.functions()

    def processes(self) -> list[int]:
        """Return the ids of the processes that have made calls."""
        return self._ring.processes()

    def losses(self) -> Losses:
        """Return what the agent couldn't record."""
        return self._ring.losses()

    def metadata(self) -> dict[str, Any]:
        """Return the capture's metadata: "functions" (names by ``nr``), "function_table" and "agent"."""
        functions = self._ring.functions()
        return {
            "functions": [function.name for function in functions],
            "function_table": [function.to_metadata() for function in functions],
            "agent": {
                "processes": self._ring.loaded,
                "python": self._ring.python_version,
                "free_threaded": self._ring.free_threaded,
                "lost": asdict(self._ring.losses()),
                "counted": {str(number): asdict(one) for number, one in self._ring.counted().items()},
                "own_calls": self.own_calls.count,
            },
        }

    def close(self) -> None:
        """Leave the ring."""
        self._ring.close()
