"""Requests as rows of a table, and those that compute again what the cache held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.mechanisms.requests.requests import Request

LEAST_TOKENS = 32
"""A shorter prompt isn't worth a word."""
LEAST_REQUESTS = 2


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request."""

    name: str
    count: int
    """Tokens that were made after the prompt's first one, each by a decode."""
    pid: int
    begin_s: float
    prompt_s: float
    """From the beginning of the prompt's first decode to the end of its last one."""
    computed_tokens: int | None
    reused_tokens: int | None
    """Tokens of the prompt that the cache held already; None where that isn't known."""
    dropped_tokens: int | None
    """Tokens that were taken from the cache for it."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Prompts that grow as one conversation's do, but threw away most of what the cache held.

    Attributes:
        requests: How many requests did so.
        of_requests: Of how many that found something in the cache.
        computed_tokens: What these computed.
        dropped_tokens: What they threw away.
        same_tokens: How far a prompt is like the one before it, the median.
        prompt_ns: How long computing their prompts took.
    """

    requests: int
    of_requests: int
    computed_tokens: int
    dropped_tokens: int
    same_tokens: int
    prompt_ns: int


def request_rows(requests: list[Request], begin_ns: int) -> list[RequestRow]:
    """Return the rows in the order of time."""
    return [
        RequestRow(
            name=f"request {number}",
            count=one.tokens,
            pid=one.pid,
            begin_s=(one.start_ns - begin_ns) / 1e9,
            prompt_s=one.prompt_ns / 1e9,
            computed_tokens=one.computed,
            reused_tokens=one.reused,
            dropped_tokens=one.dropped,
        )
        for number, one in enumerate(requests, 1)
    ]


def recomputed(requests: list[Request]) -> Recomputed | None:
    """Return the requests that compute a growing prompt again and again; None where there are less than two."""
    last: dict[tuple[int, int], Request] = {}
    again: list[Request] = []
    found_some = 0
    for one in requests:
        before = last.get((one.pid, one.context))
        if before is not None and one.reused is not None and one.dropped is not None:
            found_some += one.reused + one.dropped > 0
            if _again(before, one):
                again.append(one)
        last[one.pid, one.context] = one
    if len(again) < LEAST_REQUESTS:
        return None
    return Recomputed(
        requests=len(again),
        of_requests=found_some,
        computed_tokens=sum(one.computed or 0 for one in again),
        dropped_tokens=sum(one.dropped or 0 for one in again),
        same_tokens=int(np.median([one.reused or 0 for one in again])),
        prompt_ns=sum(one.prompt_ns for one in again),
    )


def _again(before: Request, one: Request) -> bool:
    """Tell whether a prompt holds what the last one did, and more, and computes most of it again."""
    if one.computed is None or one.reused is None or one.dropped is None:
        return False
    grown = before.computed is not None and before.reused is not None
    grown = grown and one.reused + one.computed > (before.reused or 0) + (before.computed or 0)
    return grown and one.computed >= LEAST_TOKENS and one.dropped >= LEAST_TOKENS and one.dropped > one.reused
