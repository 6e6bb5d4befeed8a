"""How to measure: what isn't part of a test's identity."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.run.extras import set_priority


@dataclass(frozen=True, slots=True)
class Options:
    """How often and under which conditions.

    Attributes:
        repetitions: Of each test; of pairs when two engines take turns.
        warm_up: Do the work once before measuring.
        delay_s: Pause before each test.
        priority: llama.cpp's ``--prio``, a key of :data:`llamactl.run.extras.NICE`.
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
    set_priority(options.priority)
    if options.numa:
        from llamactl.engine.library import set_numa

        set_numa(options.numa)
    if options.rpc:
        from llamactl.engine.rpc import connect

        connect(options.workers)
