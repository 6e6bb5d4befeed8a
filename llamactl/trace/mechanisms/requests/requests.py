"""Which decodes read a prompt and which make a token; and what each request computed and took from the cache.

A decode of several tokens of one sequence is a prompt's. Where as many tokens are sampled from it as it computed, it
makes one of each of several sequences. One of a single token may be, too: what is left of a prompt
that is cut into batches, or the one token that isn't in the cache yet of a prompt that was asked before. It is a
prompt's when tokens were taken from the end of the cache before it, when text was tokenized, or when nobody took
anything out of the context since the last piece of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.mechanisms.interface.batches import batches
from llamactl.trace.mechanisms.interface.context_memory import Context, Cut, created, cuts, restored
from llamactl.trace.mechanisms.interface.exchange import Exchange, ends, finished, outermost, starts

DECODES = ("llama_decode", "llama_process")
TOKENIZE = "llama_tokenize"
TAKES = (
    "llama_sampler_sample",
    "llama_get_logits",
    "llama_get_logits_ith",
    "llama_get_embeddings",
    "llama_get_embeddings_ith",
    "llama_get_embeddings_seq",
    "llama_get_sampled_token_ith",
)
"""What takes the result of a decode out of its context."""
SAMPLES = ("llama_sampler_sample",)
RELIABLE = 0.5
"""A sign that is there, or not there, for more of the single tokens than this doesn't tell a prompt."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and the tokens after it.

    Attributes:
        start_ns: When its first decode began.
        pid: The process.
        context: The context's address.
        computed: Tokens of the prompt that were computed; None where a batch doesn't tell.
        reused: Tokens that were in the cache and stayed; None where that isn't known.
        dropped: Tokens that were taken from the cache for it; None likewise.
        tokens: Tokens made after the prompt's first one, each by a decode.
        prompt_ns: From the beginning of its first decode to the end of the prompt's last one, or to when what that
            one had started on a device was there.
    """

    start_ns: int
    pid: int
    context: int
    computed: int | None
    reused: int | None
    dropped: int | None
    tokens: int
    prompt_ns: int


@dataclass(frozen=True)
class Decodes:
    """The decodes of a recording, sorted by start.

    Attributes:
        index: Of each decode in ``exchange.calls``.
        prompt: Whether it reads a prompt.
        begins: Whether a request begins with it.
        requests: The requests in the order of time.
    """

    index: IntArray
    prompt: Mask
    begins: Mask
    requests: list[Request]


def decodes_of(exchange: Exchange) -> Decodes:
    """Tell prompts and tokens apart."""
    index = np.flatnonzero(exchange.named(*DECODES) & outermost(exchange.calls))
    calls = exchange.calls[index]
    held = batches(exchange, calls)
    contexts = exchange.argument(calls, "context")
    context = np.zeros(len(calls), np.int64) if contexts is None else contexts
    keys = list(zip(calls["pid"].tolist(), context.tolist(), strict=True))
    taken, made, loads = cuts(exchange, set(keys)), created(exchange), restored(exchange)
    prompt, begins = ~held.generating, np.zeros(len(calls), dtype=bool)
    done = _done(exchange, index)
    requests: list[Request] = []
    for key in dict.fromkeys(keys):
        rows = np.array([row for row, other in enumerate(keys) if other == key])
        signs = _signs(exchange, calls[rows], key)
        one = _Context(taken.get(key, []), made.get(key), loads.get(key[0], []), signs)
        several = (held.tokens[rows] > 1) & (signs.sampled == held.tokens[rows])
        one.follow(calls[rows], done[rows], held.tokens[rows], held.generating[rows] | several, key)
        prompt[rows], begins[rows] = one.prompt, one.begins
        requests += one.requests
    return Decodes(index, prompt, begins, sorted(requests, key=lambda request: request.start_ns))


def _done(exchange: Exchange, index: IntArray) -> IntArray:
    """Return when each decode's result was there: at its end, or when somebody had waited for it."""
    done, waits = ends(exchange.calls), exchange.awaited
    np.maximum.at(done, waits.decode, waits.start + waits.ns)
    return done[index]


@dataclass(frozen=True)
class _Signs:
    """What happened between each decode of a context and the one before it; and how much was sampled from it."""

    tokenized: Mask
    taken: Mask
    sampled: IntArray


def _signs(exchange: Exchange, calls: NDArray[np.void], key: Context) -> _Signs:
    begin = starts(calls)
    tokenize = exchange.calls[exchange.named(TOKENIZE) & (exchange.calls["pid"] == key[0])]
    tokenized = np.zeros(len(calls), dtype=bool)
    for tid in np.unique(calls["tid"]).tolist():
        mine = calls["tid"] == tid
        moments = np.sort(starts(tokenize[tokenize["tid"] == tid]))
        before = np.concatenate([[0], begin[:-1]])
        tokenized[mine] = (np.searchsorted(moments, begin) > np.searchsorted(moments, before))[mine]
    takes = np.sort(_takes(exchange, key, TAKES))
    taken = np.zeros(len(calls), dtype=bool)
    taken[1:] = np.searchsorted(takes, begin[1:]) > np.searchsorted(takes, begin[:-1])
    samples = np.sort(_takes(exchange, key, SAMPLES))
    sampled = np.diff(np.searchsorted(samples, [*begin.tolist(), np.iinfo(np.int64).max]))
    return _Signs(tokenized, taken, sampled)


def _takes(exchange: Exchange, key: Context, names: tuple[str, ...]) -> IntArray:
    """Return when results were taken out of a context."""
    found = [np.zeros(0, np.int64)]
    for name in names:
        calls = exchange.calls[exchange.named(name) & (exchange.calls["pid"] == key[0])]
        context = exchange.argument(calls, "context")
        found.append(starts(calls if context is None else calls[context == key[1]]))
    return np.concatenate(found)


class _Context:
    """Follows the decodes of one context."""

    def __init__(self, taken: list[Cut], made: int | None, loads: list[int], signs: _Signs) -> None:
        self._cuts, self._made, self._loads, self._signs = taken, made, loads, signs
        self._one_sequence = len({cut.sequence for cut in taken if cut.sequence >= 0}) <= 1
        self._held: int | None = 0 if made is not None else None
        """Tokens in the cache; None for unknown."""
        self._kept: int | None = None
        """Of them, those that the last cut left; None without a cut since the last decode."""
        self._dropped = 0
        self.prompt: Mask = np.zeros(0, dtype=bool)
        self.begins: Mask = np.zeros(0, dtype=bool)
        self.requests: list[Request] = []

    def follow(
        self, calls: NDArray[np.void], end: IntArray, tokens: IntArray, single: Mask, key: Context
    ) -> None:
        """Say of each decode whether it is a prompt's, and whether a request begins."""
        count = len(calls)
        self.prompt, self.begins = ~single, np.zeros(count, dtype=bool)
        self._one_sequence = self._one_sequence and not (single & (tokens > 1)).any()
        tokenized, taken = self._usable(single)
        begin, worked = starts(calls), finished(calls) & (calls["ret"] == 0)
        events = sorted(
            [(cut.at_ns, 0, number) for number, cut in enumerate(self._cuts)]
            + [(at, 1, 0) for at in self._loads]
            + [(int(at), 2, row) for row, at in enumerate(begin)]
        )
        for at, what, number in events:
            if what == 0:
                self._cut(self._cuts[number])
            elif what == 1:
                self._held = None
            else:
                row = number
                new = self._kept is not None or bool(tokenized[row])
                after_prompt = row > 0 and bool(self.prompt[row - 1])
                if single[row] and tokens[row] == 1:
                    first = row == 0 and self._made is not None and at >= self._made
                    left = after_prompt and taken is not None and not taken[row]
                    self.prompt[row] = first or new or left
                if self.prompt[row]:
                    fresh = new or not after_prompt or (taken is not None and bool(taken[row]))
                    self.begins[row] = fresh
                    self._read(fresh, int(begin[row]), int(end[row]), int(tokens[row]), key)
                elif self.requests:
                    self.requests[-1] = _one_more(self.requests[-1])
                self._kept, self._dropped = None, 0
                if worked[row] and self._held is not None:
                    self._held = self._held + int(tokens[row]) if tokens[row] > 0 else None

    def _usable(self, single: Mask) -> tuple[Mask, Mask | None]:
        """Return the signs; those that single tokens all have, or all lack, don't tell."""
        tokenized, taken = self._signs.tokenized, self._signs.taken
        steps = single.copy()
        steps[:1] = False
        if steps.any() and tokenized[steps].mean() > RELIABLE:
            tokenized = np.zeros(len(tokenized), dtype=bool)
        reliable = steps.any() and taken[steps].mean() >= RELIABLE
        return tokenized, taken if reliable else None

    def _cut(self, cut: Cut) -> None:
        if not self._one_sequence and cut.sequence >= 0:
            return
        if cut.first == 0 and cut.end is None:
            gone = self._held or 0
            if gone or self._held is None:
                self._kept, self._dropped = 0, gone
            self._held = 0
        elif self._held is not None and cut.first < self._held:
            if cut.end is None or cut.end >= self._held:
                self._kept, self._dropped = cut.first, self._dropped + self._held - cut.first
                self._held = cut.first
            else:  # From the middle: a full context makes room.
                self._held -= cut.end - cut.first

    def _read(self, fresh: bool, begin: int, end: int, tokens: int, key: Context) -> None:
        """Add a decode of a prompt to the requests."""
        count = tokens if tokens > 0 else None
        known = self._held is not None and self._one_sequence
        if fresh or not self.requests:
            reused, dropped = (self._held, self._dropped) if known else (None, None)
            self.requests.append(Request(begin, *key, count, reused, dropped, 0, end - begin))
            return
        last = self.requests[-1]
        computed = None if last.computed is None or count is None else last.computed + count
        self.requests[-1] = Request(
            last.start_ns, last.pid, last.context, computed, last.reused, last.dropped, last.tokens,
            end - last.start_ns,
        )  # fmt: skip


def _one_more(request: Request) -> Request:
    return Request(
        request.start_ns, request.pid, request.context, request.computed, request.reused, request.dropped,
        request.tokens + 1, request.prompt_ns,
    )  # fmt: skip
