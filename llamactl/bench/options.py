"""How to measure: what isn't part of a test's identity."""

from __future__ import annotations

import os
from dataclasses import dataclass

from llamactl.errors import LlamactlError

NICE = {-1: 5, 0: 0, 1: -5, 2: -10, 3: -20}
"""llama.cpp's priorities as nice values (``set_process_priority``)."""


@dataclass(frozen=True, slots=True)
class Options:
    """How often and under which conditions.

    Attributes:
        repetitions: Of each test; of pairs when two engines take turns.
        warm_up: Do the work once before measuring.
        delay_s: Pause before each test.
        priority: llama.cpp's ``--prio``, a key of :data:`NICE`.
        numa: llama.cpp's ``--numa``, or ``None``.
        rpc: Addresses of workers with commas between them, or ``None``.
    """

    repetitions: int = 5
    warm_up: bool = True
    delay_s: float = 0.0
    priority: int = 0
    numa: str | None = None
    rpc: str | None = None

    @property
    def workers(self) -> tuple[str, ...]:
        """The addresses of workers."""
        return tuple(one.strip() for one in self.rpc.split(",")) if self.rpc else ()


def apply_to_process(options: Options) -> None:
    """Set priority and NUMA strategy of this process.

    Raises:
        LlamactlError: The kernel refuses the priority, or a worker can't be used.
    """
    if options.priority:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, NICE[options.priority])
        except PermissionError:
            raise LlamactlError(
                f"--prio {options.priority} isn't allowed", "Use CAP_SYS_NICE, or 0 or -1."
            ) from None
    if options.numa:
        from llamactl.engine.library import set_numa

        set_numa(options.numa)
    if options.rpc:
        from llamactl.engine.rpc import connect

        connect(options.workers)
