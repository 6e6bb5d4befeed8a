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
    per_record_ns: float | None
    estimated_s: float | None
    """Cost of all records together, by the calibrated cost of one."""
    share: float | None
    """``estimated_s`` against the recorded time."""
    untraced_s: float | None
    traced_s: float | None
    ratio: float | None
    """Traced against untraced, where ``--compare-untraced`` measured both."""


def own_cost(
    metadata: Mapping[str, object], complete: bool, lost: int, records: int, length_s: float
) -> Cost:
    """Draw the cost from what the recorder calibrated and from how many records there are."""
    cost = metadata.get("cost")
    known: Mapping[str, object] = cost if isinstance(cost, dict) else {}
    per_record = _number(known.get("per_record_ns"))
    estimated = None if per_record is None else per_record * records / 1e9
    traced, untraced = _number(known.get("traced_s")), _number(known.get("untraced_s"))
    engine = metadata.get("engine")
    return Cost(
        engine=str(engine) if engine else None,
        complete=complete and not lost,
        lost=lost,
        records=records,
        per_record_ns=per_record,
        estimated_s=estimated,
        share=None if estimated is None or not length_s else estimated / length_s,
        untraced_s=untraced,
        traced_s=traced,
        ratio=None if not traced or not untraced else traced / untraced,
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
