"""Names of files and sockets as small numbers, so that arrays can hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.view import distinct

NO_NAME = -1


class Names:
    """Gives every distinct byte string a number.

    Args:
        text: Returns the string behind a reference, as ``Capture.text``.
    """

    def __init__(self, text: Callable[[int], bytes]) -> None:
        self.text = text
        self._by_name: dict[bytes, int] = {}
        self._references = np.zeros(1, np.int64)
        self._of_reference = np.full(1, NO_NAME, np.int64)
        self._names: list[bytes] = []

    def __len__(self) -> int:
        return len(self._names)

    def name(self, number: int) -> bytes:
        """Return the string; empty for NO_NAME."""
        return self._names[number] if number >= 0 else b""

    def number(self, name: bytes) -> int:
        """Return the number of a string, a new one when it is new."""
        number = self._by_name.get(name)
        if number is None:
            number = self._by_name[name] = len(self._names)
            self._names.append(name)
        return number

    def numbers(self, references: NDArray[np.unsignedinteger]) -> IntArray:
        """Return the numbers for a column of references; NO_NAME for reference 0."""
        values, inverse = distinct(references.astype(np.int64))
        if not len(values):
            return np.zeros(0, np.int64)
        place = np.minimum(np.searchsorted(self._references, values), len(self._references) - 1)
        fresh = values[self._references[place] != values]
        if len(fresh):
            self._learn(fresh)
            place = np.searchsorted(self._references, values)
        return self._of_reference[place][inverse]

    def _learn(self, fresh: IntArray) -> None:
        """Look up references that are new; strings are read once, however often they come."""
        numbers = np.array([self.number(self.text(reference)) for reference in fresh.tolist()], np.int64)
        # A recorder writes strings as they come, so new references are mostly the largest: then this only appends.
        where = np.searchsorted(self._references, fresh)
        self._references = np.insert(self._references, where, fresh)
        self._of_reference = np.insert(self._of_reference, where, numbers)
