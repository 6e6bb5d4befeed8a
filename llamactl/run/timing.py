"""From the stamps of a generation to the times of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llamactl.engine import Generated
from llamactl.engine.generation import STAMPS_PER_TOKEN
from llamactl.run.report import Timings, TokenTimes

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Steps:
    """Stamps taken around a run, in nanoseconds of CLOCK_MONOTONIC."""

    start: int
    loaded: int
    context_made: int
    prompt_given: int
    rendered: int
    tokenized: int
    end: int
    has_template: bool


def percentile(values: Sequence[int], share: float) -> int | None:
    """Return the nearest-rank percentile: the least value with ``share`` of all at or below it."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def token_times(gaps: Sequence[int]) -> TokenTimes:
    """Return the percentiles of the times between tokens."""
    return TokenTimes(
        percentile(gaps, 0.50), percentile(gaps, 0.95), percentile(gaps, 0.99), max(gaps, default=None)
    )


def timings(steps: Steps, done: Generated) -> Timings:
    """Return where the time went. Every step is counted once; what is left over is stated."""
    stamps = done.stamps
    rows = [stamps[i : i + STAMPS_PER_TOKEN] for i in range(0, len(stamps), STAMPS_PER_TOKEN)]
    decodes = [row[4] - row[3] for row in rows if row[4]]
    sampling = sum(row[1] - row[0] for row in rows)
    detokenize = sum(row[2] - row[1] for row in rows if row[2])
    output = sum(row[3] - row[2] for row in rows if row[3])
    gaps = [after[0] - before[0] for before, after in pairwise(rows)]
    decode = sum(decodes)
    parts = [
        steps.loaded - steps.start,
        steps.context_made - steps.loaded,
        steps.tokenized - steps.prompt_given,
    ]
    whole = max(row for row in rows[-1]) - rows[0][0] if rows else 0
    python = whole - sampling - detokenize - output - decode
    total = steps.end - steps.start
    return Timings(
        load_ns=parts[0],
        context_ns=parts[1],
        template_ns=steps.rendered - steps.prompt_given if steps.has_template else None,
        tokenize_ns=steps.tokenized - steps.rendered,
        prefill_ns=done.prefill_ns,
        time_to_first_token_ns=rows[0][1] - steps.prompt_given if rows else None,
        decode_ns=decode,
        sampling_ns=sampling,
        detokenize_ns=detokenize,
        output_ns=output,
        python_ns=python,
        unaccounted_ns=total - sum(parts) - (done.prefill_ns or 0) - whole,
        total_ns=total,
        per_token=token_times(gaps),
        prompt_tokens_per_second=_rate(done.n_prompt, done.prefill_ns),
        tokens_per_second=_rate(len(gaps), sum(gaps)),
        decode_tokens_per_second=_rate(len(decodes), decode),
    )


def _rate(count: int, duration_ns: int | None) -> float | None:
    return count * SECOND / duration_ns if count and duration_ns else None
