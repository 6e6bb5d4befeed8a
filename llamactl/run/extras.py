"""What a run is made with besides sizes and types: adapters, control vectors, places of threads, fitting."""

from __future__ import annotations

import os
from dataclasses import dataclass

from llamactl.engine.adapters import Scaled, add_adapters, add_control_vectors
from llamactl.engine.context import Context
from llamactl.engine.threadpool import Place, attach
from llamactl.errors import LlamactlError

NICE = {-1: 5, 0: 0, 1: -5, 2: -10, 3: -20}
"""llama.cpp's priorities as nice values (``set_process_priority`` of ``common/common.cpp``)."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """Whether and how what isn't set is made to fit.

    Attributes:
        margins: Bytes to leave free, of each device; one for all.
        least_context: The smallest context to take, in tokens.
    """

    margins: tuple[int, ...] = (1 << 30,)
    least_context: int = 4096


@dataclass(frozen=True, slots=True)
class Extras:
    """The values, checked.

    Attributes:
        adapters: LoRA adapters.
        control_vectors: They are added up.
        control_layers: First and last layer of them; ``None`` for all.
        place: Of threads for single tokens.
        place_of_batch: Of threads for prompts.
        fitting: ``None`` for none.
    """

    adapters: tuple[Scaled, ...] = ()
    control_vectors: tuple[Scaled, ...] = ()
    control_layers: tuple[int, int] | None = None
    place: Place = Place()  # noqa: RUF009 - frozen
    place_of_batch: Place = Place()  # noqa: RUF009 - frozen
    fitting: Fitting | None = None

    def apply(self, context: Context) -> None:
        """Have a context compute with them.

        Raises:
            UsageError: A file doesn't fit the model.
            LlamactlError: Threads can't be made so.
        """
        if self.adapters:
            add_adapters(context, self.adapters)
        if self.control_vectors:
            add_control_vectors(context, self.control_vectors, self.control_layers)
        if (self.place, self.place_of_batch) != (Place(), Place()):
            attach(context, self.place, self.place_of_batch)


def set_priority(priority: int) -> None:
    """Set this process's priority.

    Args:
        priority: llama.cpp's ``--prio``, a key of :data:`NICE`.

    Raises:
        LlamactlError: The kernel refuses it.
    """
    if priority:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, NICE[priority])
        except PermissionError:
            raise LlamactlError(f"--prio {priority} isn't allowed", "Use CAP_SYS_NICE, or 0 or -1.") from None
