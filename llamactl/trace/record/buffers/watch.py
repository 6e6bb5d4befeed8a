"""Watch the first and the last float of the logits of a program whose calls uprobes catch.

The processor's debug registers tell which instruction touched an address, so which library: ``_ctypes``,
numpy, libc, llama.cpp. Uprobes stop nobody, so the row is watched some milliseconds after its address was
first handed out; the address stays the same as long as the context does. See ``watching`` for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.capture.engine_calls import LOGITS, VOCABULARY
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.record.buffers.readers import Readers
from llamactl.trace.record.calls.targets import is_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.record.calls.rings import Rings


FLOAT_BYTES = 4
FIRST, LAST = 0, 1


class Watch:
    """The watched floats of one program.

    Args:
        rings: Where the kernel reports to.
        vocabulary: How many floats a row has; None to learn it when the program asks llama.cpp.
    """

    def __init__(self, rings: Rings, vocabulary: int | None = None) -> None:
        self._rings = rings
        self._vocabulary = vocabulary
        self._address = 0
        self._watched: dict[int, int] = {}
        self._since_ns: int | None = None
        self._moves = 0
        self._refused = ""
        self._readers = Readers(ProcessMaps(rings.pid))

    def follow(self, calls: NDArray[np.void], functions: Sequence[Function]) -> None:
        """Learn from calls (CALL records) where the logits are, and watch them there."""
        for nr in np.unique(calls["nr"]).tolist():
            name = functions[nr].name
            ended = calls[(calls["nr"] == nr) & ((calls["flags"] & int(Flag.NO_EXIT)) == 0)]
            if name in VOCABULARY and len(ended) and ended["ret"][-1] > 0:
                self._vocabulary = int(ended["ret"][-1])
            elif name in LOGITS and len(ended) and ended["ret"][-1]:
                last = ended[-1]
                self._arm(int(last["ret"]), int(last["start"] + last["duration"]))
        if self._address and self._vocabulary and LAST not in self._watched:
            self._set(LAST, self._address + FLOAT_BYTES * (self._vocabulary - 1))

    def _arm(self, address: int, now_ns: int) -> None:
        if address == self._address:
            return
        self._address = address
        self._set(FIRST, address)
        if self._vocabulary:
            self._set(LAST, address + FLOAT_BYTES * (self._vocabulary - 1))
        if self._since_ns is None:
            self._since_ns = now_ns

    def _set(self, which: int, address: int) -> None:
        if self._refused:
            return
        try:
            if which in self._watched:
                self._rings.move(which, address)
                self._moves += 1
            else:
                self._rings.watch(which, address)
            self._watched[which] = address
        except LlamactlError as error:
            self._refused = str(error)

    def resolve(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> None:
        """See :meth:`Readers.resolve`."""
        self._readers.resolve(records, add)

    def metadata(self) -> dict[str, Any]:
        """Return what was watched: for the analysis of buffers."""
        return {
            "buffer": "logits",
            "address": self._address or None,
            "floats": self._vocabulary,
            "since_ns": self._since_ns,
            "last_watched": LAST in self._watched,
            "moved": self._moves,
            "refused": self._refused or None,
        }


def without_own(records: NDArray[np.void], functions: Sequence[Function]) -> NDArray[np.void]:
    """Return the records without llama.cpp's own calls for its logits, which only told the address."""
    own = [
        nr
        for nr, function in enumerate(functions)
        if function.name in LOGITS and is_engine(function.caller) and is_engine(function.library)
    ]
    kept: NDArray[np.void] = records[(records["kind"] != Kind.CALL) | ~np.isin(records["nr"], own)]
    return kept
