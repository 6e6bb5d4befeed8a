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
    engine_records: int
    """Those of the engine alone."""
    per_record_ns: float | None
    """What one of the engine's records costs, calibrated before this recording."""
    stops: int | None
    """How often the engine stopped the program beside its records, to read strings; None for never."""
    per_stop_ns: float | None
    """What one of these stops costs, calibrated before this recording."""
    agent_records: int
    """Calls into llama.cpp and releases of the GIL: written by the program itself, or caught from outside."""
    agent_record_ns: float | None
    """What one of them costs; None without any, and where it isn't known. The agent's is a measured constant, that of
    uprobes is calibrated before the recording (``calibrated``)."""
    calibrated: bool
    """Whether ``agent_record_ns`` was."""
    estimated_s: float | None
    """Cost of all records and stops together, by the cost of one."""
    share: float | None
    """``estimated_s`` against the recorded time."""
    recorder_cpu_s: float | None
    """CPU time that llamactl itself used meanwhile, on whatever CPU was free."""
    untraced_s: float | None
    traced_s: float | None
    ratio: float | None
    """Traced against untraced, where ``--compare-untraced`` measured both."""


STOPS_FOR_STRINGS = "perf"
"""The engine that stops the program beside its records; with the others each record has its own stops."""
AGENT_RECORD_NS = 70.0
"""``benchmarks/agent_overhead.py``: 46 to 63 ns for a call from C, 200 ns for the three records of a crossing."""


def own_cost(
    metadata: Mapping[str, object],
    complete: bool,
    lost: int,
    records: int,
    length_s: float,
    agent_records: int = 0,
    counted: int = 0,
) -> Cost:
    """Draw the cost from what the recorder calibrated and from how many records there are.

    Args:
        metadata: The capture's.
        complete: Whether the recording came to its end.
        lost: How many records are missing.
        records: How many there are.
        length_s: How long the recording lasted.
        agent_records: How many of ``records`` the agent wrote (CALL and GIL).
        counted: Calls that it counted without a record, which cost as much.
    """
    cost = metadata.get("cost")
    known: Mapping[str, object] = cost if isinstance(cost, dict) else {}
    per_record = _number(known.get("per_record_ns"))
    engine = metadata.get("engine")
    per_stop = _number(known.get("per_stop_ns"))
    stops = (int(_number(known.get("stops")) or 0) or None) if engine == STOPS_FOR_STRINGS else None
    per_call, calibrated = _per_call(metadata, per_record)
    hits = agent_records + counted
    estimated = None
    if (
        (per_call is not None or not hits)
        and per_record is not None
        and (stops is None or per_stop is not None)
    ):
        by_engine = per_record * (records - agent_records) + (per_stop or 0) * (stops or 0)
        estimated = (by_engine + (per_call or 0) * hits) / 1e9
    traced, untraced = _number(known.get("traced_s")), _number(known.get("untraced_s"))
    return Cost(
        engine=str(engine) if engine else None,
        complete=complete and not lost,
        lost=lost,
        records=records,
        engine_records=records - agent_records,
        per_record_ns=per_record,
        stops=stops,
        per_stop_ns=per_stop if stops else None,
        agent_records=hits,
        agent_record_ns=per_call if hits else None,
        calibrated=calibrated and bool(hits),
        estimated_s=estimated,
        share=None if estimated is None or not length_s else estimated / length_s,
        recorder_cpu_s=_number(known.get("recorder_cpu_s")),
        untraced_s=untraced,
        traced_s=traced,
        ratio=None if not traced or not untraced else traced / untraced,
    )


def _per_call(metadata: Mapping[str, object], per_stop: float | None) -> tuple[float | None, bool]:
    """Return what a call costs that was recorded, and whether that was calibrated.

    A breakpoint stops the program twice, as a system call that is recorded by stops does.
    """
    boundary = metadata.get("boundary")
    if not isinstance(boundary, dict):
        return AGENT_RECORD_NS, False
    if boundary.get("way") == "uprobes":
        return _number(boundary.get("per_call_ns")), True
    return (per_stop, True) if metadata.get("engine") != STOPS_FOR_STRINGS else (None, False)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
