"""What changed between two documents of ``inspect``: entries that came, went, or differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# What names an entry of a list. A list without one of these is compared as a whole.
_KEYS = ("pid", "fd", "start", "thread", "address", "role", "path", "name", "code", "key", "struct")
# What always differs and says nothing.
_IGNORED = frozenset(
    {"taken_s", "busy", "never_slept", "never_ran", "program_counter", "stack_pointer", "run_delay_ns"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: ``kind`` is ``added``, ``removed`` or ``changed``; a side that isn't there is None.

    ``place`` names the way to it, such as ``processes 4711, files 12, offset``.
    """

    kind: str
    place: tuple[str, ...]
    before: Any
    after: Any


def diff_documents(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the differences of two documents in the order of the first."""
    return list(_values((), before, after))


def _values(place: tuple[str, ...], before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _entries(place, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(place, before, after)
    elif before != after:
        yield Change("changed", place, before, after)


def _entries(place: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in [*before, *(name for name in after if name not in before)]:
        inner = (*place, name)
        if name in _IGNORED:
            continue
        if name not in after:
            yield Change("removed", inner, before[name], None)
        elif name not in before:
            yield Change("added", inner, None, after[name])
        else:
            yield from _values(inner, before[name], after[name])


def _lists(place: tuple[str, ...], before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    old, new = _named(before), _named(after)
    if old is not None and new is not None:
        yield from _entries(place, old, new)
    elif before != after:
        yield Change("changed", place, before, after)


def _named(entries: Sequence[Any]) -> dict[str, Any] | None:
    """Return the entries by what names them, or None when nothing names each of them once."""
    if not entries:
        return {}
    for key in _KEYS:
        names = [_name(entry, key) for entry in entries]
        if None not in names and len(set(names)) == len(names):
            return dict(zip(map(str, names), entries, strict=True))
    return None


def _name(entry: Any, key: str) -> str | None:
    if not isinstance(entry, Mapping):
        return None
    # A process is named by its identity, a thread by its reading.
    for holder in (entry, entry.get("identity"), entry.get("reading")):
        if isinstance(holder, Mapping) and isinstance(holder.get(key), (str, int)):
            value = holder[key]
            return f"{value:x}" if key in ("start", "address") and isinstance(value, int) else str(value)
    return None
