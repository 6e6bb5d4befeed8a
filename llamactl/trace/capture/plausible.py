"""Whether a capture can be what a recorder wrote: every fact of its type, every record within its bounds.

A capture may be somebody else's, or half overwritten. What is looked at later relies on what is checked here.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.json_file import LARGEST_BYTES
from llamactl.trace.capture.record import Kind, Task
from llamactl.typed import LIMIT, expect

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_NS = 1 << 62
"""A moment and a duration; their sum fits into 63 bits."""
MOST_DEPTH = 40
MOST_PHASES = 256
MOST_PID = (1 << 31) - 1
"""``pid_t`` holds no more; the kernel gives out 4,194,304 at most (PID_MAX_LIMIT)."""

Number = float | int | None
_BIRTHS = [int(Task.CLONE), int(Task.FORK), int(Task.VFORK)]
_KINDS = np.zeros(256, bool)
_KINDS[list(Kind)] = True

_WATCH: dict[str, Any] = {
    "buffer": str, "address": int | None, "bytes": int | None, "floats": int | None, "since_ns": int | None,
    "until_ns": int | None, "last_watched": bool, "moved": int, "asked": bool, "refused": str | None,
    "way": str, "pid": int | None, "elsewhere": int, "filtered": bool,
}  # fmt: skip
_FUNCTION: dict[str, Any] = {
    "name": str, "caller": str, "library": str, "via": str, "args": list[str], "text": str, "returns": str,
    "device": str,
}  # fmt: skip
_LEFT: dict[str, Any] = {"name": str, "born": bool | None, "in_use": bool | None}
_CHILD: dict[str, Any] = {"pid": int, "name": str, "parent": int | None}
_THREAD: dict[str, Any] = {"process": int, "thread": int, "role": str, "evidence": str}
_ENGINE: dict[str, Any] = {
    "pid": int, "process": str, "path": str, "kind": str, "holds": str, "exported": bool | None, "agent": bool,
    "without": str,
}  # fmt: skip
_COUNTED: dict[str, Any] = {"calls": int, "ns": int}

FACTS: dict[str, Any] = {
    "schema": str, "schema_version": int, "llamactl": str, "kernel": str, "machine": str, "cpu": str | None,
    "cpus": int | None, "argv": list[str] | None, "attached": bool, "clock": str, "clock_offset_ns": int,
    "engine": str | None, "blind": list[str], "reasons": list[str], "selection": list[int] | None,
    "counters": list[str], "gpu_nodes": list[str], "complete": bool, "functions": list[str],
    "thread_placement": dict[str, str] | None, "collectors_unseen": dict[str, str],
    "pid": int | None, "exit_code": int | None, "ended": str,
    "wait_status": int | None, "oom_kills": dict[str, int] | None,
    "lost": int, "notes": list[str], "phases": list[str], "regions": dict[str, list[list[int]]],
    "cost": dict[str, Number], "disk_read_bytes": int | None, "recorded": dict[str, int | None],
    "cpu_budget": {
        "threads": int, "physical_cores": int, "affinity_cpus": int, "quota_cpus": Number,
        "quota_source": str | None, "limited_by": str,
    },
    "agent": {
        "processes": int, "python": str | None, "free_threaded": bool, "lost": dict[str, int], "own_calls": int,
    },
    "boundary": dict[str, str | int | float | None],
    "binding": {"name": str, "version": str | None, "interface": str},
    "watch": _WATCH, "children": {"recorded": bool}, "calls_refused": str, "calls_asked": bool,
}  # fmt: skip
"""What each fact of the metadata is; others are passed over."""


def metadata_of(payload: memoryview) -> dict[str, Any]:
    """Return the facts of one chunk; none when it was cut off in the middle.

    Raises:
        TypeError: A fact isn't of its type.
    """
    if len(payload) > LARGEST_BYTES:
        raise TypeError(f"its metadata takes {len(payload) >> 20} MiB")
    try:
        values = json.loads(bytes(payload))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    _check_depth(values, MOST_DEPTH)
    expect(values, FACTS, "")
    _check_rows(values, "function_table", _FUNCTION, required=("name", "caller", "library", "via"))
    _check_rows(values, "files_left", _LEFT, required=("name",))
    _check_rows(values, "thread_roles", _THREAD, required=tuple(_THREAD))
    _check_rows(values, "engines", _ENGINE, required=tuple(_ENGINE))
    _check_rows(values.get("watch", {}), "others", _WATCH)
    _check_rows(values.get("children", {}), "processes", _CHILD, required=tuple(_CHILD))
    for key, one in _object(values.get("agent", {}), "counted").items():
        expect(one, _COUNTED, f"counted.{key}")
        if not key.isdecimal():
            raise TypeError(f"counted has the key {key[:40]!r}")
    for name, spans in values.get("regions", {}).items():
        if any(len(span) != 2 for span in spans):
            raise TypeError(f"regions.{name[:40]} isn't made of beginnings and ends")
    if any(
        moment is not None and not 0 <= moment < MOST_NS for moment in values.get("recorded", {}).values()
    ):
        raise TypeError("recorded isn't made of moments")
    return values


def check_records(records: NDArray[np.void], functions: int) -> None:
    """Raise :class:`TypeError` for a record of no kind that there is, or beyond the bounds of time.

    Args:
        records: Of one chunk.
        functions: How many functions the metadata's table has; 0 where it was cut off.
    """
    kinds = records["kind"]
    known = _KINDS[kinds]
    if not known.all():
        raise TypeError(f"a record is of kind {int(kinds[~known][0])}")
    called = records["nr"][(kinds == Kind.CALL) | (kinds == Kind.DEVICE)]
    if functions and len(called) and int(called.max()) >= functions:
        raise TypeError(f"a call is of function {int(called.max())} of {functions}")
    phases = records["nr"][kinds == Kind.PHASE]
    if len(phases) and int(phases.max()) >= MOST_PHASES:
        raise TypeError(f"a phase has the number {int(phases.max())}")
    born = records["args"][(kinds == Kind.TASK) & np.isin(records["nr"], _BIRTHS)][:, 1]
    if len(born) and int(born.max()) > MOST_PID:
        raise TypeError(f"a process has the number {int(born.max())}")
    for name in ("start", "duration"):
        if len(records) and int(records[name].max()) >= MOST_NS:
            raise TypeError(f"the {name} of a record is {int(records[name].max())} ns")
    for name in ("pid", "tid"):
        if len(records) and int(records[name].min()) < 0:
            raise TypeError(f"the {name} of a record is {int(records[name].min())}")


def _object(values: dict[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key, {})
    expect(found, dict, key)
    return dict(found)


def _check_rows(
    values: dict[str, Any], key: str, hints: dict[str, Any], required: tuple[str, ...] = ()
) -> None:
    rows = values.get(key)
    if rows is None:
        return
    expect(rows, list, key)
    for row in rows:
        expect(row, hints, key)
        for name in required:
            if name not in row:
                raise TypeError(f"{key} has a row without {name}")


def _check_depth(value: Any, left: int) -> None:
    """Refuse what is nested without end, and numbers that no recorder writes."""
    if left == 0:
        raise TypeError("the metadata is nested too deeply")
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            _check_depth(one, left - 1)
    elif isinstance(value, int) and not -LIMIT <= value < 2 * LIMIT:
        raise TypeError(f"the metadata has the number {str(value)[:40]}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"the metadata has the number {value}")
