"""The report that a trace ends with: 80 columns for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.endings import ending_lines
from llamactl.render.trace.exchange import slow_text
from llamactl.render.trace.findings.text import findings_text
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.rows.row import Row
from llamactl.render.trace.tables import table_text
from llamactl.render.trace.text import count_text, shortened, time_text
from llamactl.trace.mechanisms.by_phase import PhaseRow
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.phases import OUTSIDE
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import Table

WIDTH = 80
_ENDS = {
    "duration": "ended by --duration",
    "limit": "ended by --limit",
    "interrupt": "ended by Ctrl-C",
    "error": "the capture couldn't be written",
    "": "the recording didn't come to its end",
}
"""By the capture's own word for how it ended."""

_NAME = 13
_VERDICT = 11


def report_text(report: TraceReport, tables: Sequence[Table] = (), explain: bool = False) -> str:
    """Return the report.

    Args:
        report: The facts.
        tables: Summaries to show below.
        explain: Whether each mechanism is explained in two sentences.
    """
    parts = [head_text(report), _rows(report, explain), findings_text(find(report)), _slow(report)]
    parts += [_first_token(report), _cost(report), _engine(report)]
    parts += [table_text(report, table) for table in tables]
    return "\n".join(part for part in parts if part)


def head_text(report: TraceReport) -> str:
    """Return what was recorded: the command, how long, what was made, by which recorder, the phases."""
    command = shortened(safe_text(_command(report.command)), 70)
    about = [f"{report.length_s:.2f} s", *_generated(report)]
    about.append(f"{report.cost.engine or 'unknown recorder'}, {_completeness(report)}")
    lines = [f"trace: {command}", "  " + "   ".join(about)]
    phases = [
        f"{row.name} {time_text(row.wall_s * 1e9)}{_awaited(row)}{' (unfinished)' if row.unfinished else ''}"
        for row in report.phases
        if row.wall_s is not None and row.name != OUTSIDE
    ]
    for sentence in ending_lines(report.endings):
        lines += textwrap.wrap(
            sentence, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    lines += textwrap.wrap(" | ".join(phases), WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines) + "\n"


def _awaited(row: PhaseRow) -> str:
    """Return which calls waited for what the phase had started on a device; empty for none."""
    names = [safe_text(name.removeprefix("llama_")).removeprefix("sampler_") for name, _ in row.awaited]
    return f" (waited for in {', '.join(names[:2])}{' …' if len(names) > 2 else ''})" if names else ""


def _command(words: Sequence[str]) -> str:
    """Return the command line; our own run as people write it."""
    if tuple(words[1:3]) == ("-m", "llamactl"):
        words = ("llamactl", *words[3:])
    if not words:
        return "unknown command"
    return " ".join((PurePath(words[0]).name, *words[1:]))


def _generated(report: TraceReport) -> list[str]:
    """Return what was decoded: prompts, tokens, or batches of several requests where only those are known."""
    begun = {row.name: row.intervals for row in report.phases}
    prompts, tokens = begun.get("prefill"), begun.get("decode")
    facts = report.exchange
    unit = "batch" if facts is not None and facts.batched else "token"
    counted = ((prompts, "prompt", "prompts"), (tokens, unit, "batches" if unit == "batch" else "tokens"))
    parts = [f"{count_text(count)} {one if count == 1 else many}" for count, one, many in counted if count]
    return [", ".join(parts)] if parts else []


def _completeness(report: TraceReport) -> str:
    if report.cost.complete:
        return "complete"
    if report.cost.lost:
        return f"INCOMPLETE: {count_text(report.cost.lost)} records lost"
    return f"INCOMPLETE: {_ENDS.get(str(report.metadata.get('ended')), _ENDS[''])}"


def _rows(report: TraceReport, explain: bool) -> str:
    return "".join(_row(row, explain) for row in mechanisms(report))


def _row(row: Row, explain: bool) -> str:
    """Return a mechanism: name, sentence, verdict; further lines are indented."""
    room = WIDTH - 1 - _NAME - 1 - _VERDICT - 1
    lines = [part for line in row.lines for part in textwrap.wrap(line, room, break_on_hyphens=False)] or [""]
    out = [f" {row.name:<{_NAME}} {lines[0]:<{room}} {row.verdict:>{_VERDICT}}".rstrip()]
    out += [f" {'':<{_NAME}} {line}".rstrip() for line in lines[1:]]
    if explain:
        out += textwrap.wrap(row.explanation, WIDTH - 4, initial_indent="   ", subsequent_indent="   ")
    return "\n".join(out) + "\n"


def _slow(report: TraceReport) -> str:
    lines = slow_text(report)
    if not lines:
        return ""
    body = [part for line in lines for part in textwrap.wrap(line, WIDTH - 1, subsequent_indent="   ")]
    return "\n".join(["Slow tokens", *(f" {line}" for line in body)]) + "\n"


def _first_token(report: TraceReport) -> str:
    split = report.first_token
    if split is None:
        return ""
    parts = ", ".join(f"{name} {seconds:.3f}" for name, seconds in split.parts if f"{seconds:.3f}" != "0.000")
    head = "No first token within" if split.unfinished else "First token after"
    text = f"{head} {split.total_s:.3f} s ({parts})"
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ")) + "\n"


def _cost(report: TraceReport) -> str:
    cost = report.cost
    if cost.per_record_ns is None:
        text = f"Own cost: unknown ({count_text(cost.records)} records, not calibrated)"
    else:
        engine = cost.engine_records
        text = f"Own cost: {count_text(engine)} records at {time_text(cost.per_record_ns)} each (calibrated)"
        if cost.stops and cost.per_stop_ns is not None:
            text += f", {count_text(cost.stops)} stops at {time_text(cost.per_stop_ns)}"
        if cost.agent_records:
            how = "(calibrated)" if cost.calibrated else ""
            at = f"{'' if cost.calibrated else 'about '}{time_text(cost.agent_record_ns)}"
            text += f", {count_text(cost.agent_records)} of calls and the GIL at {at} {how}".rstrip()
        text += f": {time_text(None if cost.estimated_s is None else cost.estimated_s * 1e9)}"
        if cost.share is not None:
            text += f", {cost.share * 100:.2g} % of the time recorded"
    if cost.recorder_cpu_s is not None:
        text += f"; llamactl itself used {time_text(cost.recorder_cpu_s * 1e9)} of CPU beside the program"
    if cost.ratio is not None:
        text += f"; the run took {cost.traced_s:.2f} s, {cost.ratio:.2f} times the untraced run"
        text += f" of {cost.untraced_s:.2f} s"
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ")) + "\n"


def _engine(report: TraceReport) -> str:
    """Say why a better recorder wasn't used, what this one can't see, and what didn't go as planned."""
    lines: list[str] = []
    for key, label in (("reasons", ""), ("blind", "Limit: "), ("notes", "Note: ")):
        found = report.metadata.get(key)
        for sentence in found if isinstance(found, list) else []:
            text = f"{label}{safe_text(str(sentence))}"
            lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return "\n".join(lines) + "\n" if lines else ""
