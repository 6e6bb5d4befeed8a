"""Lines of the GPU's row on what the program asked of its device."""

from __future__ import annotations

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import byte_text, count_text, counted, time_text
from llamactl.trace.mechanisms.gpu.device_errors import DeviceError
from llamactl.trace.mechanisms.gpu.device_facts import DeviceCallFacts, DeviceToken
from llamactl.trace.mechanisms.report import TraceReport

_NAMED = 3


def device_call_lines(report: TraceReport, facts: DeviceCallFacts) -> list[str]:
    """Return what passed between the program and the device."""
    least = "" if facts.complete else "at least "
    calls = sum(row.count for row in report.device_functions)
    callers = sorted({caller for row in report.device_functions for caller in row.callers})
    lines = [
        f"{', '.join(facts.families)}: {counted(calls, 'call')} by {safe_text(', '.join(callers[:_NAMED]))}",
        f"{least}{byte_text(_sum(report, 'in_bytes'))} to the device{_pageable(report)},"
        f" {byte_text(_sum(report, 'out_bytes'))} back; {counted(_sum(report, 'waits'), 'wait')},"
        f" {time_text(_sum(report, 'waited_ns'))}",
    ]
    if facts.peak_bytes:
        lines.append(
            f"memory asked for: {least}{byte_text(facts.peak_bytes)} at most at once{_takers(report)}"
        )
    if facts.token is not None:
        lines += _token(facts.token, least)
    if facts.starts_notably:
        most = ", ".join(
            f"{safe_text(row.name)} {time_text(row.total_ns)}" for row in facts.start_up[:_NAMED]
        )
        lines.append(f"first use: {time_text(facts.start_up_ns)} ({most})")
    lines += [_error(one) for one in facts.errors[:_NAMED]]
    return lines


def _sum(report: TraceReport, name: str) -> int:
    return sum(getattr(row, name) for row in report.device_phases)


def _pageable(report: TraceReport) -> str:
    known = [row.pageable_bytes for row in report.device_phases if row.pageable_bytes is not None]
    pageable = sum(known)
    return (
        f" ({byte_text(pageable)} both ways not pinned)"
        if pageable and len(known) == len(report.device_phases)
        else ""
    )


def _takers(report: TraceReport) -> str:
    """Say in which calls into llama.cpp most of it was taken."""
    rows = [
        row for row in report.device_memory if row.name in {"device", "managed"} and row.within is not None
    ]
    listed = ", ".join(f"{byte_text(row.bytes)} in {safe_text(row.within or '')}" for row in rows[:2])
    return f" ({listed})" if listed else ""


def _token(token: DeviceToken, least: str) -> list[str]:
    work = [
        f"{value:.3g} {name}{'' if value == 1 else 's'}"
        for value, name in (
            (token.launches, "launch" if token.launches == 1 else "launche"),
            (token.graph_launches, "graph"),
            (token.library_calls, "library call"),
        )
        if value
    ]
    kernels = f", {token.kernels:.4g} kernels" if token.kernels else ""
    return [
        f"a token: {least}{' and '.join(work) or 'no launch'}{kernels}, {byte_text(round(token.in_bytes))} in,"
        f" {byte_text(round(token.out_bytes))} out",
        f"a token: {time_text(token.waited_ns)} waiting ({token.waits:.3g} times),"
        f" {time_text(token.launching_ns)} launching, {time_text(token.copying_ns)} in copies",
    ]


def _error(one: DeviceError) -> str:
    what = f" ({one.what})" if one.what else ""
    asked = f", asked for {byte_text(one.asked_bytes)}" if one.asked_bytes else ""
    return f"{safe_text(one.name)} returned {one.code}{what} {count_text(one.count)}×{asked}"
