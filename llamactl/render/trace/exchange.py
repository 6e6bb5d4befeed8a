"""The report's rows about the exchange: which interface, which buffers, the GIL; and slow tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from llamactl.process.engine.interfaces import shown
from llamactl.render.safe import safe_text
from llamactl.render.trace.rows.buffers import buffer_lines
from llamactl.render.trace.rows.uncaught import released_line, uncaught_line
from llamactl.render.trace.text import count_text, counted, shortened, time_text
from llamactl.trace.mechanisms.gil.gil import GilVerdict
from llamactl.trace.mechanisms.interface.binding import Binding, BindingKind
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
from llamactl.trace.mechanisms.interface.uncaught import Uncaught, Why
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.slow.slow_causes import Cause
from llamactl.trace.mechanisms.slow.slow_tokens import SLOW, SlowToken

SHOWN_SLOW = 5
NOT_RECORDED = "calls weren't recorded"
NOT_SEEN = "no call into llama.cpp was seen"


def place_text(place: tuple[str, int, str] | None) -> str:
    """Return ``file.py:12 (function)`` with the file's last two parts; empty without a place."""
    if place is None:
        return ""
    file, line, function = place
    short = "/".join(PurePath(file).parts[-2:])
    return safe_text(f"{short}:{line} ({function})")


def interface(report: TraceReport) -> Iterator[str]:
    """Which binding calls, how often, and what a crossing costs."""
    facts = report.exchange
    if facts is not None:
        yield from _interface_lines(facts)
    elif not report.uncaught:
        yield _why_no_calls(report)
    for one in report.uncaught:
        yield _uncaught(report, one)


def _why_no_calls(report: TraceReport) -> str:
    if refused := report.metadata.get("calls_refused"):
        return f"unknown: {safe_text(str(refused))}"
    if report.metadata.get("calls_asked") is False:
        return NOT_RECORDED
    if report.metadata.get("attached"):
        return _none_caught(report)
    if not report.metadata.get("agent"):
        return NOT_RECORDED
    return NOT_SEEN


def _uncaught(report: TraceReport, one: Uncaught) -> str:
    """From outside, that a library isn't called can't be told by the functions that are caught."""
    boundary = report.metadata.get("boundary")
    if one.why is Why.NOT_CALLED and isinstance(boundary, dict) and boundary.get("armed"):
        return f"{safe_text(PurePath(one.path).name)} is loaded; {_none_caught(report)}"
    return uncaught_line(one)


def _none_caught(report: TraceReport) -> str:
    """Only some functions are caught from outside: another one may have been called all the time."""
    boundary = report.metadata.get("boundary")
    armed = boundary.get("armed") if isinstance(boundary, dict) else None
    if not armed:
        return f"{NOT_SEEN} in the running program"
    text = f"none of the {armed} functions that are caught was called; others of llama.cpp may have been"
    switches = report.cost.agent_records
    return f"{text}: the GIL was let go {count_text((switches + 1) // 2)} times" if switches else text


def _interface_lines(facts: ExchangeFacts) -> Iterator[str]:
    for binding in facts.bindings[:2]:
        if binding.calls:
            yield f"{shown(binding.kind.value)}: {_between(binding)}{_whose(binding)}"
    total = sum(row.count for row in facts.functions)
    most = sorted(facts.functions, key=lambda row: -row.count)[:3]
    listed = ", ".join(f"{count_text(row.count)} {row.name.removeprefix('llama_')}" for row in most)
    what = "calls inside it" if facts.calls_inside else "crossings"
    least = "at least " if facts.exchange.lost else ""
    yield f"{least}{count_text(total)} {what} ({listed}{' …' if len(facts.functions) > 3 else ''})"
    if facts.exchange.lost:
        yield f"{count_text(facts.exchange.lost)} records of calls were lost"
    without = sum(row.without_record for row in facts.functions)
    if without:
        yield f"{count_text(without)} of them were counted without a record each, to keep room for calls that work"
    yield from _per_token_line(facts)


def _whose(binding: Binding) -> str:
    """Return which distribution calls, in the words that ``inspect`` has for it; empty if it isn't known."""
    if binding.name is None:
        return ""
    return f"; called by {safe_text(' '.join(filter(None, (binding.name, binding.version))))}"


def _between(binding: Binding) -> str:
    """Return who calls whom; ctypes and CFFI don't need their own module named."""
    caller = safe_text(PurePath(binding.caller).name)
    if binding.inside:
        return f"llama.cpp is inside {caller}"
    libraries = ", ".join(safe_text(PurePath(path).name) for path in binding.libraries[:3])
    more = " …" if len(binding.libraries) > 3 else ""
    if binding.kind in {BindingKind.CTYPES, BindingKind.CFFI_ABI}:
        return f"{binding.functions} functions of {libraries}{more}"
    return f"{caller} → {libraries}{more}"


def _per_token_line(facts: ExchangeFacts) -> Iterator[str]:
    average = facts.per_token
    if not average.tokens or average.crossings is None:
        return
    unit = "a batch" if facts.batched else "a token"
    if facts.batched and average.batch_tokens is not None:
        unit += f" of {average.batch_tokens:.3g} tokens"
    calls = "calls" if facts.calls_inside else "crossings"
    native = bool(facts.bindings) and facts.bindings[0].kind is BindingKind.NATIVE
    between = "between the calls" if facts.calls_inside or native else "in Python"
    least = "" if facts.exchange.complete else "at least "
    if average.in_c_us is None:
        yield f"{unit}: {least}{average.crossings:.3g} {calls}; only entries were caught, times are unknown"
        return
    text = f"{unit}: {least}{average.crossings:.3g} {calls}, {_us(average.in_c_us)} in llama.cpp"
    if average.awaited_us:
        text += f" ({_us(average.awaited_us)} of it waiting for the device)"
    text += ","
    text += f" {_us(average.python_us)} {between}"
    if average.calls_back_notably:
        text += f", of which llama.cpp called back {_us(average.called_back_us)}"
    yield text


def _us(value: float | None) -> str:
    return time_text(None if value is None else value * 1e3)


def buffers(report: TraceReport) -> Iterator[str]:
    """What is handed out and in."""
    lines = () if report.exchange is None else tuple(buffer_lines(report.exchange))
    unseen = report.metadata.get("calls_refused") or report.metadata.get("calls_asked") is False
    yield from lines or (NOT_RECORDED if unseen else "no token was generated through calls that were seen",)


def gil(report: TraceReport) -> Iterator[str]:
    """Held or released while llama.cpp computes."""
    facts = report.exchange
    if facts is None:
        released = tuple(line for one in report.uncaught if (line := released_line(one)))
        yield from released or (_why_no_calls(report),)
        return
    yield from _gil_lines(facts)
    yield from _collector_lines(report)


def _collector_lines(report: TraceReport) -> Iterator[str]:
    """Say what was seen of the garbage collector, which holds the GIL while it works, or why it wasn't."""
    found, unseen = report.garbage, report.metadata.get("collectors_unseen") or {}
    if found is not None and found.collections:
        yield (
            f"{counted(found.count, 'full garbage collection')}, {time_text(found.total_ns)} in all, up to"
            f" {time_text(found.longest_ns)}"
        )
    if unseen and report.exchange is not None and report.exchange.python:
        yield f"garbage collections aren't seen: {safe_text(next(iter(unseen.values())))}"


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
        still = f"; {found.unfinished_waits} unfinished" if found.unfinished_waits else ""
        yield (
            f"{time_text(found.wait_total_ns)} waited to take it back, {time_text(found.wait_max_ns)} at most{still}"
        )
    held = [row for row in found.functions if row.longest_hold_ns]
    if held:
        longest = max(held, key=lambda row: row.longest_hold_ns or 0)
        still = " (unfinished)" if longest.unfinished else ""
        yield f"longest hold inside a call: {time_text(longest.longest_hold_ns)} in {longest.name}{still}"


def slow_text(report: TraceReport) -> list[str]:
    """Return how many tokens were slow and why, then a line for each of the slowest."""
    slow = sorted(report.slow_tokens, key=lambda token: -token.length_ns)
    if not slow or report.exchange is None:
        return []
    counts = Counter(token.cause.value for token in slow)
    causes = ", ".join(f"{count} {cause}" for cause, count in counts.most_common())
    total = len(report.exchange.tokens) + sum(token.unfinished for token in slow)
    lines = [
        f"{len(slow)} of {count_text(total)} took more than {SLOW:.0f} times the median of"
        f" {time_text(slow[0].median_ns)}: {causes}"
    ]
    unit = "batch" if report.exchange.batched else "token"
    return lines + [_slow_line(token, unit) for token in slow[:SHOWN_SLOW]]


def _slow_line(token: SlowToken, unit: str) -> str:
    text = f"{unit} {token.index + 1}: {time_text(token.length_ns)}, {token.length_ns / token.median_ns:.1f} times"
    text += " (unfinished)" if token.unfinished else ""
    if token.cause is Cause.UNEXPLAINED:
        return f"{text}: unexplained"
    text += f": {token.cause.value} {time_text(token.explained_ns)}"
    if token.wait is not None and (token.wait.holder_call or token.wait.holder_place):
        holder = token.wait.holder_call or place_text(token.wait.holder_place)
        return shortened(f"{text}; {holder} had it", 200)
    if token.thread is not None:
        text += f"; thread {token.thread}"
    if token.subject is not None:
        text += f"{'' if token.cause is Cause.BARRIER else ';'} {shortened(safe_text(token.subject), 60)}"
    return text + "".join(_figure_text(what, value) for what, value in token.evidence)


def _figure_text(what: str, value: int) -> str:
    """Return a figure; times are said by the cause already, except where they are of something else."""
    if what in {"from CPU", "to CPU"}:
        return f"{';' if what == 'from CPU' else ''} {what} {value}"
    if what in {"ns waiting for a CPU", "ns throttled"}:
        return f"; {time_text(value)} {what[3:]}"
    return "" if what.startswith("ns ") else f"; {value:,} {what}"
