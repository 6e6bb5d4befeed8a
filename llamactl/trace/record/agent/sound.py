"""What of the ring can be believed: every process of the program may write anything into it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.functions import Function, parse_keeps, parse_role
from llamactl.trace.capture.record import Kind
from llamactl.trace.record.agent.layout import VIA

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MOST = 1 << 48
"""No count and no time in ns (three days) of a recording is larger."""
GIL_KINDS = 3
KNOWN_FLAGS = 127
RESULTS = "iulpbfvsh"
KEEP = re.compile(r"\w+:[piuf2cs]|@[a-z-]+")
TEXT_LIMIT = 4096
KEPT_ARGUMENTS = 6


def sound_records(
    records: NDArray[np.void], sites: int, began_ns: int, now_ns: int
) -> tuple[NDArray[np.void], int]:
    """Return the records that can be what the agent wrote, and how many can't.

    Args:
        records: As they lay in the ring.
        sites: How many functions are known.
        began_ns: When the ring was made, CLOCK_MONOTONIC.
        now_ns: What time it is.
    """
    start = records["start"]
    is_gil = records["kind"] == Kind.GIL
    is_call = (records["kind"] == Kind.CALL) | (records["kind"] == Kind.DEVICE)
    good = (is_call & (records["nr"] < sites)) | (
        is_gil & (records["nr"] < GIL_KINDS) & (records["args"][:, 1] < sites)
    )
    good &= (start >= np.uint64(began_ns)) & (start <= np.uint64(now_ns))
    good &= records["duration"] <= np.uint64(now_ns) - np.minimum(start, np.uint64(now_ns))
    good &= (records["tid"] > 0) & (records["pid"] > 0) & (records["flags"] <= KNOWN_FLAGS)
    if good.all():
        return records, 0
    return records[good], int((~good).sum())


def sound_function(site: np.void, text: Callable[[int], bytes]) -> Function:
    """Return the row of one site; what can't be is left out."""
    name, caller, library, keeps = (
        text(int(site[field])).decode("utf-8", "backslashreplace")
        for field in ("name", "caller", "library", "keeps")
    )
    via = int(site["via"])
    items = [item for item in keeps.split() if item in ("+", "-") or KEEP.fullmatch(item)]
    args, what = parse_keeps(" ".join(items))
    role = parse_role(" ".join(items))
    letter = chr(int(site["returns"])) if site["returns"] < 128 else ""
    return Function(
        name=name or "unknown",
        caller=caller,
        library=library,
        via=VIA[via] if via < len(VIA) else VIA[0],
        args=args[:KEPT_ARGUMENTS],
        text=what,
        returns=letter if letter and letter in RESULTS else "",
        device=role,
    )


def sound_count(value: int) -> int:
    """Return a counter of the ring; 0 for one that can't be."""
    return value if value < MOST else 0
