"""Names of files and sockets as small numbers, so that arrays can hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.view import distinct

NO_NAME = -1

IntArray = NDArray[np.int64]


class Names:
    """Gives every distinct byte string a number.

    Args:
        text: Returns the string behind a reference, as ``Capture.text``.
    """

    def __init__(self, text: Callable[[int], bytes]) -> None:
        self.text = text
        self._by_name: dict[bytes, int] = {}
        self._by_reference: dict[int, int] = {}
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
        found = np.array([self._of_reference(reference) for reference in values.tolist()], dtype=np.int64)
        return found[inverse] if len(found) else np.zeros(0, np.int64)

    def _of_reference(self, reference: int) -> int:
        if not reference:
            return NO_NAME
        number = self._by_reference.get(reference)
        if number is None:
            number = self._by_reference[reference] = self.number(self.text(reference))
        return number
