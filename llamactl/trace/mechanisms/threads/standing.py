"""Threads that stood in a call when the recording ended, as the capture keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llamactl.snapshot.process.standing_facts import REASONS, End, Standing
from llamactl.snapshot.process.unanswered import UnansweredRequest


@dataclass(frozen=True, slots=True)
class StandingRow:
    """What stood, and in which process."""

    process: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class UnansweredRow:
    """A request that had no answer when the recording ended, and the process that had read it."""

    process: int
    request: UnansweredRequest


def unanswered_rows(found: Any) -> list[UnansweredRow]:
    """Return what the metadata of a capture tell; what doesn't look like that is left out."""
    return [
        UnansweredRow(
            one["process"],
            UnansweredRequest(
                str(one.get("address", "")),
                str(one.get("client", "")),
                float(one["seconds"]),
                one["others"] if isinstance(one.get("others"), int) else 0,
                tuple(end for item in _list(one.get("ends")) if (end := _end(item))),
            ),
        )
        for one in _list(found)
        if isinstance(one, Mapping)
        and isinstance(one.get("process"), int)
        and isinstance(one.get("seconds"), (int, float))
    ]


def standing_rows(found: Any) -> list[StandingRow]:
    """Return what the metadata of a capture tell; what doesn't look like that is left out."""
    return [row for one in found if (row := _row(one))] if isinstance(found, list) else []


def _row(one: Any) -> StandingRow | None:
    if (
        not isinstance(one, Mapping)
        or not isinstance(one.get("process"), int)
        or one.get("why") not in REASONS
    ):
        return None
    threads = [number for number in _list(one.get("threads")) if isinstance(number, int)]
    seconds = one.get("seconds")
    if not threads:
        return None
    standing = Standing(
        str(one["why"]),
        tuple(threads),
        str(one.get("name", "")),
        str(one.get("call", "")),
        str(one.get("object", "")),
        float(seconds) if isinstance(seconds, (int, float)) else None,
        bool(one.get("at_least")),
        tuple(end for item in _list(one.get("ends")) if (end := _end(item))),
    )
    return StandingRow(one["process"], standing)


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()


def _end(item: Any) -> End | None:
    if not isinstance(item, Mapping) or not isinstance(item.get("pid"), int):
        return None
    thread, fd = item.get("thread"), item.get("fd")
    return End(
        item["pid"],
        str(item.get("name", "")),
        thread if isinstance(thread, int) else None,
        fd if isinstance(fd, int) else None,
        str(item.get("doing", "")),
    )
