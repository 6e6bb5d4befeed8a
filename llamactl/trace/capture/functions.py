"""The function table that the agent keeps: what a CALL record's ``nr`` means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

HEAVY = ("faults:2", "switches:2", "cpu_ns:c")
"""What functions that do real work keep in their last three arguments, of the calling thread: minor and
major page faults, voluntary and involuntary context switches (two halves of a word each), CPU time with the
number of the CPU on which the call began above it."""
ROLE = "@"
"""What comes before the role of a function of a device's library."""
ENTERED_ON = 48
"""The bit of ``cpu_ns`` from which on the CPU's number lies; 65535 for unknown."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function as one caller sees it.

    Attributes:
        name: Its symbol.
        caller: Path of the object that calls it.
        library: Path of the object that defines it.
        via: "plt", "dlsym", "inner" for an extension module's calls to the llama.cpp inside it, or "engine" for
            what the engine's libraries ask of each other, which is no call of the program's.
        args: "label:type" of each argument kept. Types: p address, i signed, u unsigned, f a float's bits,
            2 two 32-bit halves, c CPU time with a CPU's number.
        text: What ``text`` of its records is, such as "path"; empty for nothing.
        returns: Type of the result: i, u, l (64 bits), p, b, f; v none, s a structure, h kept back for
            privacy; empty when it isn't known.
        device: What a function of a device's library does, from the agent's table: "alloc-device", "copy-in",
            "launch" and so on (:mod:`llamactl.trace.analysis.device_roles`); empty for llama.cpp's.
    """

    name: str
    caller: str
    library: str
    via: str
    args: tuple[str, ...] = ()
    text: str = ""
    returns: str = ""
    device: str = ""

    def position(self, label: str) -> int | None:
        """Return at which index of ``args`` the argument with this label is, None when it isn't kept."""
        for index, item in enumerate(self.args):
            if item.partition(":")[0] == label:
                return index
        return None

    def to_metadata(self) -> dict[str, Any]:
        """Return the row of the capture's metadata "functions"."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, row: dict[str, Any]) -> Function:
        """Return what :meth:`to_metadata` made a row of."""
        return cls(**{**row, "args": tuple(row.get("args", ()))})


def parse_keeps(text: str) -> tuple[tuple[str, ...], str]:
    """Return the arguments' labels and what the text is, from the agent's own description.

    Args:
        text: "label:type …" in the order kept, then "+" for a function that does real work or "-".
    """
    items = text.split()
    heavy = bool(items) and items[-1] == "+"
    kept = [item for item in items if item not in ("+", "-") and not item.startswith(ROLE)]
    strings = [item.partition(":")[0] for item in kept if item.endswith(":s")]
    args = [item for item in kept if not item.endswith(":s")]
    if heavy:
        args = [*args, *("",) * (3 - len(args)), *HEAVY]
    return tuple(args), strings[0] if strings else ""


def parse_role(text: str) -> str:
    """Return what a function of a device's library does, from the same description; empty for llama.cpp's."""
    return next((item.removeprefix(ROLE) for item in text.split() if item.startswith(ROLE)), "")
