"""Does memory grow from request to request? The resident size at the beginning of each prompt tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.phases import Phases

IntArray = NDArray[np.int64]

LEAST_REQUESTS = 5
LEAST_STEP_BYTES = 256 * 1024
RISING_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class MemoryGrowth:
    """Growth of the resident memory over several requests, the first one (which warms up) left out."""

    requests: int
    grown_bytes: int
    per_request_bytes: int


def memory_growth(moments: IntArray, resident: IntArray, phases: Phases) -> MemoryGrowth | None:
    """Return the growth if memory rose with most requests; ``None`` if not, or with too few requests.

    Args:
        moments: When the resident memory was sampled, ns, rising.
        resident: What it was, bytes.
        phases: Where prompts begin.
    """
    if "prefill" not in phases.names or not len(moments):
        return None
    begins = phases.start[phases.number == phases.names.index("prefill")]
    index = np.searchsorted(moments, begins, side="right") - 1
    sizes = resident[index[index >= 0]][1:]
    if len(sizes) < LEAST_REQUESTS:
        return None
    steps = np.diff(sizes)
    if (steps >= LEAST_STEP_BYTES).mean() < RISING_SHARE:
        return None
    grown = int(sizes[-1] - sizes[0])
    return MemoryGrowth(len(sizes), grown, grown // len(steps))
