"""What the recording itself cost, and whether it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """The tracer's own cost; what the recorder didn't say is None."""

    engine: str | None
    complete: bool
    lost: int
    records: int
    """All of them, the agent's included."""
    per_record_ns: float | None
    """What one of the engine's records costs, calibrated before this recording."""
    agent_records: int
    """Calls into llama.cpp and releases of the GIL: written by the program itself, without a stop."""
    agent_record_ns: float | None
    """What one of them costs: a measured constant, not calibrated here; None without any."""
    estimated_s: float | None
    """Cost of all records together, by the cost of one."""
    share: float | None
    """``estimated_s`` against the recorded time."""
    untraced_s: float | None
    traced_s: float | None
    ratio: float | None
    """Traced against untraced, where ``--compare-untraced`` measured both."""


AGENT_RECORD_NS = 70.0
"""``benchmarks/agent_overhead.py``: 46 to 63 ns for a call from C, 200 ns for the three records of a crossing."""


def own_cost(
    metadata: Mapping[str, object],
    complete: bool,
    lost: int,
    records: int,
    length_s: float,
    agent_records: int = 0,
) -> Cost:
    """Draw the cost from what the recorder calibrated and from how many records there are.

    Args:
        metadata: The capture's.
        complete: Whether the recording came to its end.
        lost: How many records are missing.
        records: How many there are.
        length_s: How long the recording lasted.
        agent_records: How many of ``records`` the agent wrote (CALL and GIL).
    """
    cost = metadata.get("cost")
    known: Mapping[str, object] = cost if isinstance(cost, dict) else {}
    per_record = _number(known.get("per_record_ns"))
    estimated = None
    if per_record is not None:
        estimated = (per_record * (records - agent_records) + AGENT_RECORD_NS * agent_records) / 1e9
    traced, untraced = _number(known.get("traced_s")), _number(known.get("untraced_s"))
    engine = metadata.get("engine")
    return Cost(
        engine=str(engine) if engine else None,
        complete=complete and not lost,
        lost=lost,
        records=records,
        per_record_ns=per_record,
        agent_records=agent_records,
        agent_record_ns=AGENT_RECORD_NS if agent_records else None,
        estimated_s=estimated,
        share=None if estimated is None or not length_s else estimated / length_s,
        untraced_s=untraced,
        traced_s=traced,
        ratio=None if not traced or not untraced else traced / untraced,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
