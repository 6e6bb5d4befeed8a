"""Sentences on what `trace/mechanisms/findings/requests.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import count_text, counted, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _recomputed(f: Figures) -> Said:
    return (
        f"{count_text(f['requests'])} of {counted(f['of_requests'], 'later request')} computed their growing prompt"
        f" again: {count_text(f['computed_tokens'])} tokens in {time_text(f['prompt_ns'])}, while"
        f" {count_text(f['dropped_tokens'])} were thrown out of the cache. A prompt is like the one before it only for"
        f" its first {counted(f['same_tokens'], 'token')}.",
        "Put what changes (the time, an id, a name) at the prompt's end.",
    )


def _sampler(f: Figures) -> Said:
    text = (
        f"Choosing a token takes {time_text(f['sampler_us_per_token'] * 1e3)} of {time_text(f['token_us'] * 1e3)}"
        f" ({f['share']:.0%})"
    )
    if f["grammars"]:
        return (
            f"{text}: a grammar sampler was made ({counted(f['grammars'], 'grammar')}), which tests the vocabulary's"
            " tokens against its rules.",
            "Make it simpler (bounded repetitions such as {0,60} are copied out), or let it begin only where it is needed"
            " (a lazy grammar).",
        )
    if f["grammars"] is None:
        return (
            f"{text} in samplers, which were made before the recording: a grammar is the usual reason.",
            "Make it simpler, or let it begin only where it is needed (a lazy grammar).",
        )
    return f"{text} in samplers.", "Put top-k first in the chain: the others then see few candidates."


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.PROMPT_RECOMPUTED: _recomputed,
    FindingKind.SAMPLER_SLOW: _sampler,
}
