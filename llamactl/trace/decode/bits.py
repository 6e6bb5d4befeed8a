"""How an integer full of flags is taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llamactl.trace.decode.values import Flags, Symbol


@dataclass(frozen=True, slots=True)
class BitSet:
    """Names for bits, and for the values of a field of several bits.

    Args:
        bits: Names by value; a name of several bits comes before its parts.
        field_mask: The bits that hold one number instead of flags, such as the access mode of ``open``.
        field_names: Names of that number.
    """

    bits: Mapping[int, str]
    field_mask: int = 0
    field_names: Mapping[int, str] = field(default_factory=dict)

    def decode(self, value: int) -> Flags:
        """Name every bit of ``value``."""
        names = []
        rest = value & ~self.field_mask
        number = value & self.field_mask
        if number in self.field_names:
            names.append(self.field_names[number])
        else:
            rest |= number
        for bit, name in self.bits.items():
            if bit and rest & bit == bit:
                names.append(name)
                rest &= ~bit
        return Flags(tuple(names), rest)


def symbol(names: Mapping[int, str], value: int) -> Symbol | int:
    """Name a constant; an unknown one stays a number."""
    name = names.get(value)
    return value if name is None else Symbol(name, value)


def numbered(names: str, start: int = 0) -> dict[int, str]:
    """Number the words of ``names`` from ``start`` on; ``-`` leaves a number out."""
    return {start + index: name for index, name in enumerate(names.split()) if name != "-"}


def shifted(names: str, start: int = 0) -> dict[int, str]:
    """Give the words of ``names`` one bit each, from bit ``start`` on; ``-`` leaves a bit out."""
    return {1 << (start + index): name for index, name in enumerate(names.split()) if name != "-"}
