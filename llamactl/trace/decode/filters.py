"""What to record and what to show, in strace's language.

``-e trace=%file,openat,/^mem/,!futex`` selects system calls by family, name and regular expression. An
expression that begins with ``!`` means all calls but those that follow, as in strace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from llamactl.errors import UsageError
from llamactl.trace.decode.families import FAMILIES, Family
from llamactl.trace.decode.table import calls, numbers

_DEFAULT_FAMILIES = (
    Family.FILE | Family.DESC | Family.MEMORY | Family.PROCESS | Family.NETWORK | Family.THREAD
)
_ALIASES = {"net": "network"}
_QUALIFIERS = ("trace", "t")
LONGEST_SHOWN = 80
LONGEST_PATTERN = 1000
"""Characters; the names that it is matched with have at most some thirty."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records to make and to show.

    Args:
        calls: Numbers of the system calls that the kernel side shall select, None for all of them.
        paths: Show only calls that name one of these or work on a descriptor of it.
        phases: Show only what happened in these phases.
        threads: Show only threads with one of these roles, names or numbers.
        errors: Show only calls that failed.
    """

    calls: frozenset[int] | None = None
    paths: tuple[bytes, ...] = ()
    phases: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()
    errors: bool = False

    @property
    def shows_all(self) -> bool:
        """Whether nothing that was recorded is left out of the views."""
        return self.calls is None and not (self.paths or self.phases or self.threads or self.errors)


def default_calls(arch: int = 0) -> frozenset[int]:
    """Return the calls recorded when nobody says otherwise.

    Files, descriptors, memory, processes, network and threads; not futex, sched_yield and clocks, which a
    spinning thread pool makes by the ten thousand.
    """
    return frozenset(number for number, call in calls(arch).items() if call.families & _DEFAULT_FAMILIES)


def parse_calls(expressions: Iterable[str], arch: int = 0) -> frozenset[int] | None:
    """Return the numbers that ``-e`` expressions select; None when they select every call.

    Args:
        expressions: One string per ``-e``; several add up.
        arch: The ``arch`` of a record.

    Raises:
        UsageError: A name, family or qualifier isn't known, or a regular expression is wrong.
    """
    selected: set[int] = set()
    items: list[str] = []
    for expression in expressions:
        items += _split(_without_qualifier(expression))
    if not items:
        raise UsageError("-e names no system call", "Name calls or families: -e trace=openat,%memory.")
    everything = set(calls(arch))
    inverted = items[0].startswith("!")
    if inverted:
        selected |= everything
    for item in items:
        negative = item.startswith("!")
        found = _item(item.lstrip("!"), arch)
        if negative or inverted:
            selected -= found
        else:
            selected |= found
    return None if selected == everything else frozenset(selected)


def _without_qualifier(expression: str) -> str:
    """Drop ``trace=``; refuse strace's other qualifiers, which have options of their own here."""
    qualifier, equals, rest = expression.partition("=")
    if not equals or "/" in qualifier:
        return expression
    if qualifier not in _QUALIFIERS:
        raise UsageError(
            f"-e {qualifier}= isn't known", "Use -e trace=…; --errors shows failed calls, -P selects paths."
        )
    return rest


def _split(text: str) -> list[str]:
    """Split at commas that aren't inside ``/…/``."""
    return [item for item in re.findall(r"!?/(?:[^/\\]|\\.)*/|[^,]+", text) if item.strip()]


@lru_cache(maxsize=256)
def _item(item: str, arch: int) -> frozenset[int]:
    """Return the numbers that one item means."""
    if item in {"all", "none"}:
        return frozenset(calls(arch)) if item == "all" else frozenset()
    if item.startswith("/"):
        return _matching(item[1:].removesuffix("/"), arch)
    if item.startswith("%"):
        return _of_family(item[1:], arch)
    optional = item.startswith("?")
    name = item.removeprefix("?")
    number = numbers(arch).get(name)
    if number is None and not optional:
        raise UsageError(
            f"-e: no system call is called {name!r}",
            "?name ignores an unknown name, %name means a family, /regex/ matches names.",
        )
    return frozenset() if number is None else frozenset({number})


def _matching(pattern: str, arch: int) -> frozenset[int]:
    if len(pattern) > LONGEST_PATTERN:
        raise UsageError(
            f"-e: a regular expression of {len(pattern):,} characters", f"At most {LONGEST_PATTERN} are read."
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        shown = pattern if len(pattern) <= LONGEST_SHOWN else pattern[:LONGEST_SHOWN] + "…"
        raise UsageError(f"-e: /{shown}/ isn't a regular expression: {error}") from error
    return frozenset(number for number, call in calls(arch).items() if compiled.search(call.name))


def _of_family(name: str, arch: int) -> frozenset[int]:
    family = FAMILIES.get(_ALIASES.get(name, name))
    if family is None:
        raise UsageError(f"-e: no family is called %{name}", "Families: %" + ", %".join(FAMILIES) + ".")
    return frozenset(number for number, call in calls(arch).items() if call.families & family)
