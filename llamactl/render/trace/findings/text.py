"""Findings as sentences: the figure, the place, the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from enum import Enum

from llamactl.render.trace.cells import figure_text
from llamactl.render.trace.exchange import place_text
from llamactl.render.trace.findings import (
    buffers,
    callbacks,
    cpu,
    device_calls,
    disk,
    engine,
    files,
    garbage,
    gil,
    memory,
    processes,
    refused,
    requests,
    standing,
    threads,
)
from llamactl.render.trace.findings.sentence import Said, Sentence
from llamactl.trace.mechanisms.findings.finding import Finding
from llamactl.trace.mechanisms.table import words_of

WIDTH = 80

SENTENCES: dict[Enum, Sentence] = {
    **standing.SENTENCES,
    **refused.SENTENCES,
    **gil.SENTENCES,
    **garbage.SENTENCES,
    **callbacks.SENTENCES,
    **cpu.SENTENCES,
    **threads.SENTENCES,
    **requests.SENTENCES,
    **files.SENTENCES,
    **disk.SENTENCES,
    **memory.SENTENCES,
    **buffers.SENTENCES,
    **engine.SENTENCES,
    **device_calls.SENTENCES,
    **processes.SENTENCES,
}


def said_of(finding: Finding) -> Said:
    """Return the finding and its remedy; one that has no sentence of its own is said by its figures."""
    sentence = SENTENCES.get(finding.kind)
    if sentence is not None:
        return sentence(finding.figures)
    figures = ", ".join(
        f"{words_of(name)} {figure_text(name, value)}" for name, value in finding.figures.items()
    )
    name = str(finding.kind.value).replace("-", " ")
    return f"{name[:1].upper()}{name[1:]}: {figures}." if figures else f"{name[:1].upper()}{name[1:]}.", ""


def finding_text(finding: Finding) -> str:
    """Return a finding as sentences: the cause, the remedy, the place."""
    text = " ".join(part for part in said_of(finding) if part)
    if finding.place is None:
        return text
    if finding.caller is None:
        return f"{text} Called at {place_text(finding.place)}."
    return f"{text} Called at {place_text(finding.caller)}, through {place_text(finding.place)}."


def findings_text(findings: Sequence[Finding]) -> str:
    """Return all findings, wrapped to 80 columns; empty without any."""
    if not findings:
        return ""
    head = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    parts = [head]
    for finding in findings:
        parts += textwrap.wrap(
            finding_text(finding), WIDTH, initial_indent=" ", subsequent_indent="   ", break_on_hyphens=False
        )
    return "\n".join(parts) + "\n"
