"""The report's rows about the exchange: which interface, which buffers, the GIL; and slow tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace_mechanism import NONE, OK, Mechanism
from llamactl.render.trace_text import byte_text, count_text, shortened, time_text
from llamactl.trace.analysis.exchange_facts import ExchangeFacts
from llamactl.trace.analysis.gil import GilVerdict
from llamactl.trace.analysis.report import TraceReport
from llamactl.trace.analysis.slow_tokens import Cause, SlowToken

SHOWN_SLOW = 5
NOT_SEEN = "no call into llama.cpp was seen"


def place_text(place: tuple[str, int, str] | None) -> str:
    """Return ``file.py:12 (function)`` with the file's last two parts; empty without a place."""
    if place is None:
        return ""
    file, line, function = place
    short = "/".join(PurePath(file).parts[-2:])
    return safe_text(f"{short}:{line} ({function})")


def interface(report: TraceReport) -> Mechanism:
    """Which binding calls, how often, and what a crossing costs."""
    explanation = (
        "Python reaches C through ctypes, CFFI or a compiled extension. Each crossing costs from tens to hundreds of"
        " nanoseconds, and whatever Python does around it."
    )
    facts = report.exchange
    if facts is None:
        return Mechanism("Interface", (_why_no_calls(report),), NONE, explanation)
    return Mechanism("Interface", tuple(_interface_lines(facts)), OK, explanation)


def _why_no_calls(report: TraceReport) -> str:
    if report.metadata.get("attached"):
        return f"{NOT_SEEN}: the agent can't be loaded into a running program"
    if not report.metadata.get("agent"):
        return "calls weren't recorded"
    return NOT_SEEN


def _interface_lines(facts: ExchangeFacts) -> Iterator[str]:
    for binding in facts.bindings[:2]:
        if binding.calls:
            libraries = ", ".join(PurePath(path).name for path in binding.libraries[:3])
            yield f"{binding.kind.value}: {PurePath(binding.caller).name} → {libraries}"
    total = sum(row.count for row in facts.functions)
    most = sorted(facts.functions, key=lambda row: -row.count)[:3]
    listed = ", ".join(f"{count_text(row.count)} {row.name.removeprefix('llama_')}" for row in most)
    yield f"{count_text(total)} crossings ({listed}{' …' if len(facts.functions) > 3 else ''})"
    average = facts.per_token
    if average.tokens and average.crossings is not None:
        yield (
            f"a token: {average.crossings:.3g} crossings, {_us(average.in_c_us)} in C,"
            f" {_us(average.python_us)} in Python"
        )


def _us(value: float | None) -> str:
    return time_text(None if value is None else value * 1e3)


def buffers(report: TraceReport) -> Mechanism:
    """What is handed out and in."""
    explanation = (
        "llama.cpp hands out pointers to its own memory: 4 bytes of logits per entry of the vocabulary, each token. A"
        " view of them is free; a Python list makes an object of every number."
    )
    facts = report.exchange
    if facts is None or not facts.per_token.tokens:
        return Mechanism(
            "Buffers", ("no token was generated through calls that were seen",), NONE, explanation
        )
    asked = sum(row.count for row in facts.functions if row.name.startswith("llama_get_logits"))
    lines = []
    if facts.per_token.bytes is not None:
        lines.append(f"{byte_text(round(facts.per_token.bytes))} handed over a token")
    if asked:
        lines.append(f"rows of logits asked for {count_text(asked)} times")
    else:
        lines.append("logits stay inside llama.cpp: its own sampler reads them")
    return Mechanism("Buffers", tuple(lines), OK, explanation)


def gil(report: TraceReport) -> Mechanism:
    """Held or released while llama.cpp computes."""
    explanation = (
        "CPython's global interpreter lock lets one thread run Python at a time. A binding that holds it while"
        " llama.cpp computes stops every other Python thread for as long."
    )
    facts = report.exchange
    if facts is None:
        return Mechanism("GIL", (_why_no_calls(report),), NONE, explanation)
    return Mechanism("GIL", tuple(_gil_lines(facts)), _gil_verdict(facts), explanation)


def _gil_verdict(facts: ExchangeFacts) -> str:
    verdict = facts.gil.verdict
    if verdict is GilVerdict.HELD:
        return "HELD"
    return "MIXED" if verdict is GilVerdict.MIXED else OK if verdict is GilVerdict.RELEASED else NONE


def _gil_lines(facts: ExchangeFacts) -> Iterator[str]:
    found = facts.gil
    if found.verdict is GilVerdict.NO_GIL:
        yield "this Python has no GIL"
        return
    if found.verdict in {GilVerdict.NO_PYTHON, GilVerdict.NO_CALLS}:
        yield "no Python" if found.verdict is GilVerdict.NO_PYTHON else "llama.cpp didn't compute"
        return
    computing = found.held_computing + found.released_computing
    yield f"released in {count_text(found.released_computing)} of {count_text(computing)} computing calls"
    if found.wait_max_ns:
        yield f"{time_text(found.wait_total_ns)} waited to take it back, {time_text(found.wait_max_ns)} at most"
    held = [row for row in found.functions if row.longest_hold_ns]
    if held:
        longest = max(held, key=lambda row: row.longest_hold_ns or 0)
        yield f"longest hold inside a call: {time_text(longest.longest_hold_ns)} in {longest.name}"


def slow_text(report: TraceReport) -> list[str]:
    """Return a line per slow token, the slowest first."""
    slow = sorted(report.slow_tokens, key=lambda token: -token.length_ns)
    lines = [_slow_line(token) for token in slow[:SHOWN_SLOW]]
    if len(slow) > SHOWN_SLOW:
        lines.append(f"and {len(slow) - SHOWN_SLOW} more (--format json has them all)")
    return lines


def _slow_line(token: SlowToken) -> str:
    factor = token.length_ns / token.median_ns
    text = f"token {token.index + 1}: {time_text(token.length_ns)}, {factor:.1f} times the median: {token.cause.value}"
    if token.cause is Cause.UNEXPLAINED:
        return text
    text += f", {time_text(token.explained_ns)} of it"
    if token.wait is not None and token.wait.holder_call:
        text += f"; {token.wait.holder_call} had it"
    elif token.wait is not None and token.wait.holder_place:
        text += f"; {place_text(token.wait.holder_place)} had it"
    return shortened(text, 200)
