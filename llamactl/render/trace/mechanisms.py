"""The report's rows: one per mechanism by which the program exchanges something, in measured facts."""

from __future__ import annotations

import errno
from collections.abc import Callable

from llamactl.process.files.device_nodes import GPU_NODES_BYTES as _GPU_NODES
from llamactl.render.safe import safe_text
from llamactl.render.trace.cpu import cpu
from llamactl.render.trace.devices import device_lines
from llamactl.render.trace.exchange import buffers, gil, interface
from llamactl.render.trace.mechanism import NONE, OK, UNKNOWN, Mechanism
from llamactl.render.trace.requests import requests
from llamactl.render.trace.text import (
    bounds_text,
    byte_text,
    count_text,
    counted,
    name_text,
    shortened,
    time_text,
)
from llamactl.render.trace.workers import workers
from llamactl.trace.mechanisms.disk.disk import DiskVerdict, judge
from llamactl.trace.mechanisms.end.left_running import LeftRunning
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots

_DISK = {
    DiskVerdict.NOTHING: OK,
    DiskVerdict.READS: "READS",
    DiskVerdict.NOT_JUDGED: NONE,
    DiskVerdict.UNKNOWN: UNKNOWN,
}

_NAMED = 3


def _calls(report: TraceReport) -> Mechanism:
    total = sum(row.count for row in report.calls)
    most = sorted(report.calls, key=lambda row: -row.count)[:3]
    listed = ", ".join(f"{count_text(row.count)} {row.name}" for row in most)
    spent = sum(row.total_ns or 0 for row in report.calls)
    failed = sum(row.errors for row in report.calls)
    lines = [
        f"{count_text(total)} ({listed}{' …' if len(report.calls) > 3 else ''})" if total else "none recorded"
    ]
    if total:
        still = sum(row.unfinished for row in report.threads)
        lines.append(
            f"{time_text(spent)} inside them, all threads together; {count_text(failed)} failed"
            f"{f'; {count_text(still)} unfinished' if still else ''}"
        )
    standing = sum(len(row.standing.threads) for row in report.standing)
    if standing:
        lines.append(f"{counted(standing, 'thread')} stood in a call at the end (see the findings)")
    if report.refusals:
        lines.append(
            f"{counted(sum(row.count for row in report.refusals), 'call')} refused (see the findings)"
        )
    lines += [
        f"{row.name} failed all {count_text(row.count)} times: {errno.errorcode.get(row.error, row.error)}"
        for row in report.always_failed[:3]
    ]
    explanation = (
        "A system call is the only way for a program to get something from Linux. Each costs a fraction of a"
        " microsecond to enter, and whatever it waits for."
    )
    return Mechanism("System calls", tuple(lines), _verdict_on_calls(report, total), explanation)


def _verdict_on_calls(report: TraceReport, total: int) -> str:
    if report.standing:
        return "STANDS"
    if report.refusals:
        return "REFUSED"
    if report.always_failed or report.unanswered:
        return "FAILS"
    return OK if total else NONE


def _mapping(report: TraceReport) -> Mechanism:
    explanation = (
        "A mapped model is read page by page when it is touched, and shared with every process that maps it;"
        " a model that is read lies in memory of its own."
    )
    if not report.load and not report.blind.maps:
        return Mechanism("Mapping", ("unknown: mmap wasn't recorded (-e)",), UNKNOWN, explanation)
    if not report.load:
        made = len(report.mappings) + report.mappings_not_kept
        return Mechanism("Mapping", (f"{count_text(made)} mappings, none of a model",), NONE, explanation)
    lines = []
    for row in report.load:
        name = shortened(safe_text(row.name.rpartition("/")[2]), 34)
        known = max(row.mapped_bytes, row.read_bytes)
        size = f" {byte_text(known)}" if known else ""
        lines.append(f"{name}{size}, {row.mode} ({row.evidence})")
        if row.processes > 1:
            lines.append(f"mapped by {row.processes} processes, which share its pages")
        if row.populated and row.map_s is not None:
            lines.append(f"its pages came with the mmap call (MAP_POPULATE), {time_text(row.map_s * 1e9)}")
        if row.minor_faults is not None or row.major_faults is not None:
            lines.append(
                f"{count_text(row.minor_faults)} minor and {count_text(row.major_faults)} major page faults on it"
            )
        if row.resident_advice:
            lines.append("advice: " + ", ".join(row.resident_advice))
    verdict = OK if all(row.mode != "unknown" for row in report.load) else UNKNOWN
    return Mechanism("Mapping", tuple(lines), verdict, explanation)


def _threads(report: TraceReport) -> Mechanism:
    roles: dict[str, int] = {}
    for row in report.threads:
        roles[row.role] = roles.get(row.role, 0) + 1
    listed = ", ".join(f"{count} {role}" for role, count in roles.items())
    blocked = sum(row.blocked_ns or 0 for row in report.threads)
    lines = [f"{count_text(len(report.threads))} ({listed})" if report.threads else "none seen"]
    if report.futexes:
        lines.append(f"{time_text(blocked)} blocked, all together")
    elif blocked:
        lines.append(f"{time_text(blocked)} waiting for files, sockets and timers, all together")
    if len(report.processes) > 1:
        lines.append(f"{count_text(len(report.processes))} processes")
    if report.left_running is not None:
        lines += _left_running(report.left_running)
    explanation = (
        "llama.cpp computes in threads that meet at barriers; more threads than CPUs make every token wait"
        " for the slowest."
    )
    return Mechanism("Threads", tuple(lines), OK if report.threads else NONE, explanation)


def _left_running(left: LeftRunning) -> list[str]:
    """Say what the recording waited for."""
    lines = [f"the program itself ended after {time_text(left.ended_s * 1e9)}; it left running:"]
    for row in left.processes[:_NAMED]:
        until = "to the end" if row.end_s is None else f"until {time_text(row.end_s * 1e9)}"
        lines.append(f"{shortened(safe_text(row.name), 30)} (process {row.pid}) {until}")
    return lines


def _locks(report: TraceReport) -> Mechanism:
    explanation = (
        "A futex is how threads wait for each other. The GIL's word lies inside _PyRuntime; barriers of the"
        " compute threads are words that all of them use."
    )
    waited = [row for row in report.futexes if row.waits]
    if not waited and report.blind.futexes:
        return Mechanism("Locks", ("no thread waited for a lock",), NONE, explanation)
    if not waited:
        return Mechanism("Locks", ("no futex wait recorded (-e trace=futex adds them)",), NONE, explanation)
    lines = [
        f"{row.name}: {counted(row.waits, 'wait')}, {time_text(row.waited_ns)}, {counted(row.threads, 'thread')}"
        f"{f', {row.unfinished} unfinished' if row.unfinished else ''}"
        for row in waited[:4]
    ]
    return Mechanism("Locks", tuple(lines), OK, explanation)


def _gpu(report: TraceReport) -> Mechanism:
    nodes = [row for row in report.files if row.name.startswith(_GPU_NODES)]
    opened = [row for row in nodes if row.opens]
    explanation = (
        "What lies on a device is told by the engine's buffers. CUDA and ROCm talk to the kernel's driver through"
        " device nodes, ioctl and mmap."
    )
    calls = sum(row.count for row in opened)
    names = ", ".join(name_text(row.name) for row in opened[:3])
    driver = (f"{names}: {count_text(calls)} calls",) if opened else ()
    if report.devices is not None and report.devices.used:
        return Mechanism("GPU", (*device_lines(report.devices), *driver), OK, explanation)
    if opened:
        return Mechanism("GPU", driver, OK, explanation)
    held = [name for name in report.open_at_start if name.startswith(_GPU_NODES)]
    if held:
        calls = sum(row.count for row in nodes)
        names = ", ".join(name_text(name) for name in held[:3])
        text = f"{names}: open when recording began; {counted(calls, 'call')}"
        return Mechanism("GPU", (text,), OK if calls else NONE, explanation)
    if not report.blind.opens:
        return Mechanism("GPU", ("unknown: opening files wasn't recorded (-e)",), UNKNOWN, explanation)
    tried = ", ".join(name_text(row.name) for row in nodes[:2])
    text = f"none: {tried + ' not there' if tried else 'no device node opened'}"
    return Mechanism("GPU", (text,), NONE, explanation)


def _files(report: TraceReport) -> Mechanism:
    opened, blind = [row for row in report.files if row.opens], report.blind
    held = [
        row
        for row in report.files
        if not row.opens and row.name.startswith(b"/") and row.name in report.open_at_start
    ]
    used = [*opened, *held]
    parts = (
        (count_text(len(opened)), "opened", blind.opens),
        (byte_text(sum(row.read_bytes for row in used)), "read", blind.reads),
        (byte_text(sum(row.written_bytes for row in used)), "written", blind.writes),
    )
    lines = [", ".join(f"{figure if known else 'unknown'} {what}" for figure, what, known in parts)]
    if report.open_at_start:
        lines.append(f"{counted(sum(report.open_at_start.values()), 'descriptor')} open when recording began")
    lines += ["left behind: " + shortened(safe_text(row.name), 44) for row in report.left_files[:3]]
    lines += _unseen(blind)
    explanation = (
        "Files that a program makes in /tmp and doesn't remove stay until someone does; on many systems /tmp is"
        " memory."
    )
    verdict = UNKNOWN if not blind.files_known else OK if used else NONE
    return Mechanism("Files", tuple(lines), "LEFT BEHIND" if report.left_files else verdict, explanation)


def _unseen(blind: BlindSpots) -> list[str]:
    """Say what the figures on files leave out."""
    lines = []
    if blind.io_uring_calls:
        lines.append(
            f"and through io_uring: {counted(blind.io_uring_calls, 'call')}, files and bytes not seen"
        )
    if blind.written_mappings:
        lines.append(
            f"and through mappings of {counted(blind.written_mappings, 'file')}: bytes written not counted"
        )
    if blind.vmsplice_calls:
        lines.append(f"and by vmsplice: {counted(blind.vmsplice_calls, 'call')}, bytes not counted")
    if blind.foreign_calls:
        calls = counted(blind.foreign_calls, "call")
        lines.append(f"and by 32-bit programs: {calls}, known by number alone: files and bytes not counted")
    for count, what in ((blind.unnamed_read_bytes, "read"), (blind.unnamed_written_bytes, "written")):
        if count:
            lines.append(
                f"and {byte_text(count)} {what} through descriptors that were inherited or received: of what isn't known"
            )
    if not (blind.opens and blind.reads and blind.writes):
        lines.append("-e left calls on files out")
    return lines


def _faults(report: TraceReport) -> Mechanism | None:
    if not report.faults:
        return None
    total = sum(row.count for row in report.faults)
    major = sum(row.major_faults for row in report.faults)
    listed = ", ".join(f"{count_text(row.count)} {row.name}" for row in report.faults[:3])
    explanation = (
        "A page fault brings in a page that was mapped but not there. A major one waits for the disk, a minor"
        " one finds the page in memory."
    )
    return Mechanism(
        "Page faults",
        (f"{count_text(total)} ({listed})", f"{count_text(major)} waited for the disk"),
        OK,
        explanation,
    )


def _disk(report: TraceReport) -> Mechanism | None:
    rows = {row.name: row for row in report.disk if row.disk.least is not None or row.disk.most is not None}
    if not rows:
        return None
    titles = {"load": "loading", "prompt": "prompt", "generate": "generating"}
    known = [(title, rows[name]) for name, title in titles.items() if name in rows]
    lines = [
        f"{title}: {bounds_text(row.disk)} from disk, {bounds_text(row.cache)} cached"
        for title, row in known or [("in all", rows["all"])]
    ]
    explanation = (
        "Bytes that came from the disk against bytes that were in the page cache already: a model that is"
        " evicted is read again while it generates."
    )
    return Mechanism("Disk", tuple(lines), _DISK[judge(report.disk)], explanation)


MECHANISMS: tuple[Callable[[TraceReport], Mechanism | None], ...] = (
    _calls, interface, requests, buffers, _mapping, _faults, _disk, _threads, cpu, gil, _locks, _gpu, workers,
    _files,
)  # fmt: skip
"""In the order of the report; a new row is a function here."""


def mechanisms(report: TraceReport) -> list[Mechanism]:
    """Return the rows of the report; those that the capture can't know are left out."""
    return [row for make in MECHANISMS if (row := make(report)) is not None]
