"""What a finding is: data with a kind, its figures and the place to blame.

:mod:`llamactl.render.trace.findings` writes its sentence and its remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from llamactl.trace.mechanisms.interface.exchange import Place

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


class FindingKind(Enum):
    """What was found; the value is its name in JSON."""

    STANDING = "standing"
    UNANSWERED_REQUESTS = "unanswered-requests"
    REFUSED = "refused"
    UNANSWERED = "unanswered-connects"
    NOT_FOUND = "not-found"
    GIL_HELD = "gil-held"
    EVENT_LOOP_BLOCKED = "event-loop-blocked"
    THREADS_OVER_BUDGET = "threads-over-budget"
    DISK_WHILE_GENERATING = "disk-while-generating"
    OTHER_DISK_READS = "other-disk-reads"
    LOAD_MODE = "load-mode"
    MLOCK_FAILED = "mlock-failed"
    BINDING_OVERHEAD = "binding-overhead"
    PYTHON_CALLED_BACK = "python-called-back"
    LOGITS_COPIED = "logits-copied"
    LOGITS_STALE = "logits-stale"
    GPU_UNUSED = "gpu-unused"
    DEVICE_MEMORY_LEFT = "device-memory-left"
    ENGINE_COPIES = "engine-copies"
    WRONG_LIBRARY = "wrong-library"
    CPU_STARVED = "cpu-starved"
    THROTTLED = "throttled"
    PROMPT_RECOMPUTED = "prompt-recomputed"
    SAMPLER_SLOW = "sampler-slow"
    COLLECTOR = "collector"
    SPINNING = "spinning"
    OPENMP_RUNTIMES = "openmp-runtimes"
    MEMORY_GROWS = "memory-grows"
    CHILDREN_NOT_RECORDED = "children-not-recorded"
    DEVICE_ERRORS = "device-errors"
    DEVICE_IDLE = "device-idle"
    DEVICE_WAITS = "device-waits"
    DEVICE_PAGEABLE = "device-pageable"
    TEMPORARY_FILES = "temporary-files"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        kind: What; a mechanism outside of this package may have kinds of its own.
        cost_ns: The time it cost in this recording, where that is known; the rank.
        figures: The measured facts, by name, with units in the names.
        place: (file, line, function) in Python, where one is to blame: the innermost, such as the binding's.
        caller: Where that was called from, outside of all installed packages; None where it is the same.
    """

    kind: Enum
    cost_ns: int | None
    figures: dict[str, Any] = field(default_factory=dict)
    place: Place | None = None
    caller: Place | None = None


Look: TypeAlias = "Callable[[TraceReport], Iterator[Finding]]"
