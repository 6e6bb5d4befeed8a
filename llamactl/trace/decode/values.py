"""What a raw argument or result means, as data: the renderers decide how it looks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flags:
    """Names of the bits that are set; ``rest`` holds the bits nobody has a name for."""

    names: tuple[str, ...]
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of a constant."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Address:
    """A pointer in the traced program."""

    value: int


@dataclass(frozen=True, slots=True)
class Hex:
    """A number that people read in hexadecimal: an offset, a mask, flags without names."""

    value: int


@dataclass(frozen=True, slots=True)
class Octal:
    """Permission bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A file descriptor and what it stood for when the call began; ``target`` is None when unknown."""

    number: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes that the call named: a path, a socket address, a command line."""

    data: bytes
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """A list of strings, such as a command line."""

    words: tuple[bytes, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Struct:
    """Fields of a structure with their names."""

    fields: tuple[tuple[str, Value], ...]


Value = int | Flags | Symbol | Address | Hex | Octal | Descriptor | Text | Words | Struct | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """One system call, readable.

    ``result`` is None for a call that never returned; ``error`` is a name such as ``ENOENT`` or None.
    """

    name: str
    arguments: tuple[tuple[str, Value], ...]
    result: Value
    error: str | None
