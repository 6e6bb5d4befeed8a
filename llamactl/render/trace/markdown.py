"""Verdicts and findings of a trace in Markdown, for the page of a job."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.report import head_text
from llamactl.render.trace.tables import chosen_tables, table_markdown
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import Table

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~])")


def plain_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: names of files and programs may hold markup."""
    return _MARKUP.sub(r"\\\1", text)


def report_markdown(report: TraceReport, tables: Sequence[Table]) -> str:
    """Return verdicts, findings and the chosen tables in Markdown; phases, calls and files unless chosen."""
    chosen = tables or chosen_tables("phases,calls,files")
    parts = [verdicts_markdown(report), findings_markdown(report)]
    return "\n".join([part for part in parts if part] + [table_markdown(report, table) for table in chosen])


def verdicts_markdown(report: TraceReport) -> str:
    """Return what was recorded, and a table of the mechanisms with their verdicts."""
    from tabulate import tabulate

    rows = [[row.name, plain_markdown("; ".join(row.lines)), row.verdict] for row in mechanisms(report)]
    table = tabulate(rows, ["mechanism", "facts", "verdict"], tablefmt="pipe", disable_numparse=True)
    first, about, *phases = head_text(report).splitlines()
    lines = [re.sub("   +", " · ", about.strip()), " ".join(line.strip() for line in phases)]
    about = "\n\n".join(plain_markdown(line) for line in lines if line)
    return f"### {plain_markdown(first)}\n\n{about}\n\n{table}\n"


def findings_markdown(report: TraceReport) -> str:
    """Return the findings as a list; empty without any."""
    found = find(report)
    lines = [f"- {plain_markdown(finding_text(one))}" for one in found]
    return "\n".join(["### Findings", "", *lines, ""]) if found else ""
