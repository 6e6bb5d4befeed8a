"""How processes ended: exit status or signal, who sent it, or in which code the process itself failed.

SIGKILL is delivered to nobody, so its sender is known only where the sender was recorded, too. A kill for memory has
no sender; the control group counts it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from llamactl.process.elf import read_elf
from llamactl.process.groups import MACHINE
from llamactl.trace.decode.signals import signal_name
from llamactl.trace.mechanisms.end.processes import End
from llamactl.trace.mechanisms.end.sent_signals import Received, SignalTable
from llamactl.trace.mechanisms.interface.exchange import Exchange, Place, finished, outermost, starts, timed
from llamactl.trace.mechanisms.mapping.mapping_index import MappingIndex
from llamactl.trace.mechanisms.names import Names

KILL = 9
SHOWN_LEVELS = 64
"""Parents looked through for a mapping that a forked process inherited."""


class EndCause(Enum):
    """Why a process ended; the value is its name in JSON."""

    EXIT = "exit"
    FAULT = "own fault"
    SENT = "signal sent"
    KERNEL = "signal from the kernel"
    OUT_OF_MEMORY = "out of memory"
    NOT_RECORDED = "signal from outside of the recording"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one process that didn't simply exit with 0.

    Attributes:
        name: The process's.
        count: 1.
        pid: The process.
        main: Whether it is the program itself.
        at_s: When, seconds since the capture began; None where that isn't known.
        cause: Why.
        exit_code: Its exit status; None for a signal, and where it isn't known.
        signal: The signal that ended it; None for none.
        sender_pid: Who sent that; None where nobody did, or it isn't known.
        sender: The sender's name; None where it wasn't recorded.
        library: Path of the code in which it failed; None where that isn't known.
        function: The exported function there.
        offset: Bytes into the function, or else into the file.
        address: What couldn't be used, of a fault that has an address.
        call: The call into llama.cpp that was under way.
        place: (file, line, function) of the Python code that made it.
        oom_kills: What the kernel killed for memory in the program's control groups meanwhile; None for unknown.
        oom_group: The group where that was counted; "" for the whole machine.
    """

    name: str
    count: int
    pid: int
    main: bool
    at_s: float | None
    cause: EndCause
    exit_code: int | None
    signal: str | None
    sender_pid: int | None
    sender: str | None
    library: str | None
    function: str | None
    offset: int | None
    address: int | None
    call: str | None
    place: Place | None
    oom_kills: int | None
    oom_group: str | None


@dataclass(frozen=True)
class Evidence:
    """What endings are explained with.

    Attributes:
        signals: Signals sent and received.
        process_names: By number.
        parents: By number.
        mappings: Everything that was mapped.
        names: The mappings' names.
        exchange: Calls into llama.cpp; None for none.
        metadata: The capture's.
        begin_ns: The first moment of the capture.
    """

    signals: SignalTable
    process_names: Mapping[int, str]
    parents: Mapping[int, int | None]
    mappings: Callable[[], MappingIndex]
    names: Names
    exchange: Exchange | None
    metadata: Mapping[str, Any]
    begin_ns: int


def endings(ends: list[End], known: Evidence) -> list[Ending]:
    """Return the ends worth a sentence: the program's own unless it is exit 0, and of all others that a signal ended."""
    program = known.metadata.get("pid")
    found = []
    for end in ends:
        main = end.pid == program
        if end.status == 0 or not (main or (end.status is not None and os.WIFSIGNALED(end.status))):
            continue
        found.append(_ending(end, main, known))
    return sorted(found, key=lambda ending: not ending.main)


def _ending(end: End, main: bool, known: Evidence) -> Ending:
    number = os.WTERMSIG(end.status) if end.status is not None and os.WIFSIGNALED(end.status) else None
    received = _received(end, number, known) if number is not None else None
    sender = _sender(end, number, received, known) if number is not None else None
    kills, group = _oom(known)
    cause = _cause(end, number, received, sender, kills)
    where = _where(end.pid, received, known) if received is not None and cause is EndCause.FAULT else None
    call, place = _call(end, received, known)
    return Ending(
        name=end.name,
        count=1,
        pid=end.pid,
        main=main,
        at_s=None if end.moment_ns is None else (end.moment_ns - known.begin_ns) / 1e9,
        cause=cause,
        exit_code=os.WEXITSTATUS(end.status) if end.status is not None and os.WIFEXITED(end.status) else None,
        signal=None if number is None else signal_name(number),
        sender_pid=sender,
        sender=None if sender is None else known.process_names.get(sender),
        library=where[0] if where else None,
        function=where[1] if where else None,
        offset=where[2] if where else None,
        address=received.address if received is not None and cause is EndCause.FAULT else None,
        call=call if number is not None else None,
        place=place if number is not None else None,
        oom_kills=kills if number == KILL else None,
        oom_group=group if number == KILL and kills else None,
    )


def _cause(
    end: End, number: int | None, received: Received | None, sender: int | None, kills: int | None
) -> EndCause:
    if end.status is None:
        return EndCause.UNKNOWN
    if number is None:
        return EndCause.EXIT
    if received is not None and received.code > 0 and received.instruction:
        return EndCause.FAULT
    if sender is not None:
        return EndCause.SENT
    if received is not None:
        return EndCause.KERNEL
    if number != KILL:
        return EndCause.UNKNOWN
    return EndCause.OUT_OF_MEMORY if kills else EndCause.NOT_RECORDED


def _received(end: End, number: int, known: Evidence) -> Received | None:
    """Return what the process was told of its last signal; a fault's own report wins over a signal sent again."""
    mine = [one for one in known.signals.received if one.pid == end.pid and one.signal == number]
    mine = [one for one in mine if end.moment_ns is None or one.moment_ns <= end.moment_ns]
    faults = [one for one in mine if one.code > 0]
    return next(iter((faults or mine)[-1:]), None)


def _sender(end: End, number: int, received: Received | None, known: Evidence) -> int | None:
    if received is not None and (received.sender or received.code > 0):
        return received.sender or None
    for sent in reversed(known.signals.sent):
        before = end.moment_ns is None or sent.moment_ns <= end.moment_ns
        # To a group: 0 is the sender's own, -N that of N; who belongs to it isn't recorded.
        if before and sent.signal == number and (sent.target == end.pid or sent.target <= 0):
            return sent.sender
    return None


def _oom(known: Evidence) -> tuple[int | None, str | None]:
    """Return what was killed for memory: in the innermost group that counted any, else on the whole machine."""
    counts = known.metadata.get("oom_kills")
    if not isinstance(counts, dict) or not counts:
        return None, None
    group, count = max(counts.items(), key=lambda item: (item[1] > 0 and item[0] != MACHINE, item[1]))
    return int(count), str(group)


def _where(pid: int, received: Received, known: Evidence) -> tuple[str, str | None, int] | None:
    """Return the file of the code that failed, its function, and how far into the one or the other."""
    index = known.mappings()
    process: int | None = pid
    for _ in range(SHOWN_LEVELS):
        if process is None:
            return None
        mapping = index.at(process, received.instruction, received.moment_ns)
        if mapping is not None:
            break
        process = known.parents.get(process)
    else:
        return None
    name = known.names.name(mapping.name)
    if not name.startswith(b"/"):
        return None
    offset = received.instruction - mapping.start + mapping.offset
    found = _function(Path(os.fsdecode(name)), offset)
    library = name.decode("utf-8", "backslashreplace")
    return (library, found[0], found[1]) if found else (library, None, offset)


def _function(path: Path, offset: int) -> tuple[str, int] | None:
    try:
        elf = read_elf(path) if path.is_file() else None
    except (OSError, ValueError):
        return None
    return elf.function_at(offset) if elf is not None else None


def _call(end: End, received: Received | None, known: Evidence) -> tuple[str | None, Place | None]:
    """Return the call into llama.cpp that was under way: the dying thread's, or the only one of the process."""
    exchange = known.exchange
    if exchange is None:
        return None, None
    calls = exchange.calls
    still = outermost(calls) & ~finished(calls) & timed(calls) & (calls["pid"] == end.pid)
    if end.moment_ns is not None:
        still &= starts(calls) <= end.moment_ns
    rows = np.flatnonzero(still)
    own = rows[calls["tid"][rows] == received.tid] if received is not None else rows[:0]
    rows = own if len(own) else rows
    if len(rows) != 1:
        return None, None
    call = calls[rows[0]]
    place = exchange.caller(int(call["text2"])) or exchange.place(int(call["text2"]))
    return exchange.functions[int(call["nr"])].name, place
