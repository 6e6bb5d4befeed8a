"""Draw a capture as a timeline: phases, threads with what they do in the kernel, memory. Writes SVG.

Usage: python docs/timeline.py CAPTURE OUT.svg
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.events import derived_phases, read_events
from llamactl.trace.mechanisms.report import TraceReport, analyse

WIDTH, LEFT, ROW = 900, 130, 26
COLOURS = {"load": "#4e79a7", "tokenize": "#b07aa1", "prefill": "#f28e2b", "decode": "#59a14f",
           "sample": "#e15759", "free": "#9c755f"}  # fmt: skip
KINDS = {"futex": "#888888", "mmap": "#4e79a7", "munmap": "#4e79a7", "read": "#59a14f", "openat": "#edc948",
         "newfstatat": "#edc948"}  # fmt: skip


def draw(capture: Capture) -> Iterator[str]:
    """Yield the lines of the SVG."""
    report = analyse(capture)
    height = ROW * (len(report.threads) + 5)
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
           ' font-size="12"><rect width="100%" height="100%" fill="white"/>')  # fmt: skip
    yield from _phases(capture, report)
    yield from _threads(capture, report)
    yield from _memory(capture, report, ROW * (len(report.threads) + 1.5))
    for tenth in range(0, 11, 2):
        moment = report.length_s * tenth / 10
        yield f'<text x="{_x(report, moment)}" y="{height - 6}" text-anchor="middle">{moment:.2f} s</text>'
    yield "</svg>"


def _x(report: TraceReport, seconds: float) -> float:
    return round(LEFT + (WIDTH - LEFT - 30) * seconds / report.length_s, 1)


def _bar(report: TraceReport, row: float, begin: float, end: float, colour: str, tip: str) -> str:
    left, right = _x(report, begin), _x(report, end)
    return (f'<rect x="{left}" y="{row + 4}" width="{max(right - left, 0.5):.1f}" height="{ROW - 8}"'
            f' fill="{colour}"><title>{escape(tip)}</title></rect>')  # fmt: skip


def _label(row: float, text: str) -> str:
    return f'<text x="6" y="{row + 17}">{escape(text)}</text>'


def _phases(capture: Capture, report: TraceReport) -> Iterator[str]:
    phases = derived_phases(capture)
    yield _label(0, "phases")
    starts, ends = (phases.start - report.begin_ns) / 1e9, (phases.end - report.begin_ns) / 1e9
    for start, end, number in zip(starts.tolist(), ends.tolist(), phases.number.tolist(), strict=True):
        name = phases.names[number]
        yield _bar(report, 0, start, end, COLOURS.get(name, "#bbbbbb"), f"{name} {end - start:.4f} s")
        if end - start > report.length_s / 12:
            yield f'<text x="{_x(report, start) + 4}" y="17" fill="white">{name}</text>'


def _threads(capture: Capture, report: TraceReport) -> Iterator[str]:
    """Draw one bar per pixel and thread: the call that took most of that pixel's time."""
    rows = {thread.tid: index + 1 for index, thread in enumerate(report.threads)}
    for thread in report.threads:
        yield _label(rows[thread.tid] * ROW, f"{thread.role} ({thread.count:,} calls)")
    best: dict[tuple[int, int], tuple[int, str]] = {}
    for event in read_events(capture):
        if event.kind == Kind.SYSCALL and event.duration_ns:
            first = int(_x(report, (event.start_ns - report.begin_ns) / 1e9))
            last = int(_x(report, (event.start_ns + event.duration_ns - report.begin_ns) / 1e9))
            for pixel in range(first, last + 1):
                best[event.tid, pixel] = max(
                    best.get((event.tid, pixel), (0, "")), (event.duration_ns, event.name)
                )
    for (tid, pixel), (_, name) in best.items():
        top = rows[tid] * ROW + 4
        colour = KINDS.get(name, "#b07aa1")
        yield f'<rect x="{pixel}" y="{top}" width="1" height="{ROW - 8}" fill="{colour}"/>'


def _memory(capture: Capture, report: TraceReport, top: float) -> Iterator[str]:
    """Draw the resident memory of the samples."""
    samples = [
        event for event in read_events(capture) if event.kind == Kind.COUNTER and event.name == "rss_bytes"
    ]
    if not samples:
        return
    values = np.array([dict(event.facts)["value"] for event in samples], dtype=float)
    low = top + 2 * ROW
    points = " ".join(
        f"{_x(report, (event.start_ns - report.begin_ns) / 1e9)},{low - 2 * (ROW - 4) * value / values.max():.1f}"
        for event, value in zip(samples, values.tolist(), strict=True)
    )
    yield _label(top + ROW / 2, f"memory, {values.max() / 2**20:.0f} MiB")
    yield f'<polyline points="{points}" fill="none" stroke="#4e79a7" stroke-width="2"/>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text("\n".join(draw(Capture.open(sys.argv[1]))) + "\n", encoding="utf-8")
