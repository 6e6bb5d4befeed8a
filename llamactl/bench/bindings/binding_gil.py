"""Time to take Python's GIL back, per token, in a pass of its own: the agent of ``trace`` watches the GIL there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.output.leftovers import temporary_room
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.interface.exchange_facts import exchange_facts
from llamactl.trace.record.agent.source import AgentSource

Wrap = Callable[[Mapping[str, str]], dict[str, str]]
"""Makes the environment of a process from a given one."""
Start = Callable[[Wrap], AbstractContextManager[tuple[str, Callable[[], Any]]]]
"""Starts a binding in such an environment; gives its version and what generates."""

NO_TOKENS = "the agent saw no token being generated"


def gil_ns_per_token(start: Start) -> tuple[float | None, str | None]:
    """Return the nanoseconds that a token waits to take the GIL back, or ``None`` and why that isn't known."""
    try:
        source = AgentSource()
    except LlamactlError as error:
        return None, str(error)
    try:
        with temporary_room("llamactl-gil-") as room:
            return _measured(start, source, room / "gil.capture")
    finally:
        source.close()


def _measured(start: Start, source: AgentSource, path: Path) -> tuple[float | None, str | None]:
    writer = CaptureWriter(path)
    with start(source.environment) as (_, repeat):
        repeat()
    source.finish(writer)
    writer.close(complete=True)
    if lost := source.losses().records:
        return None, f"{lost} records of the agent were lost: take fewer tokens (-n)"
    facts = exchange_facts(Capture.open(path))
    if facts is None or not len(facts.tokens):
        return None, NO_TOKENS
    if facts.exchange.free_threaded:
        return None, "this Python has no GIL"
    return float(facts.tokens.gil_wait_ns.mean()), None
