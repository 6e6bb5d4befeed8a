"""The agent's own system calls aren't the program's."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.table import call_of, numbers
from llamactl.trace.record.agent.own_calls import MARK, MOST_CALLS, OwnCalls
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command

if TYPE_CHECKING:
    from pathlib import Path

FOR_MEMORY = {"brk", "mmap", "getrandom"}
"""What glibc takes memory with: to call an audit library, the dynamic linker takes some early, which the program
doesn't have to take later."""


def counts(path: Path, command: tuple[str, ...], engine: str, calls: bool) -> tuple[Counter[str], int]:
    writer = CaptureWriter(path)
    record(Command(command), SessionOptions(engine=engine, calls=calls, faults=False), writer)
    capture = Capture.open(path)
    found = np.concatenate([chunk[chunk["kind"] == Kind.SYSCALL] for chunk in capture.chunks()])
    own = (capture.metadata.get("agent") or {}).get("own_calls", 0)
    return Counter(call_of(0, int(nr)).name for nr in found["nr"]), own


@pytest.mark.parametrize(
    "engine",
    [
        "ptrace",
        "python",
        pytest.param("perf", marks=pytest.mark.skipif(os.geteuid() != 0, reason="perf takes root")),
    ],
)
def test_the_counts_are_those_without_the_agent(built: Path, tmp_path: Path, engine: str) -> None:
    command = (str(built / "agent_ring"), "crowd", "10", "10")
    plain, none = counts(tmp_path / "plain", command, engine, calls=False)
    traced, own = counts(tmp_path / "traced", command, engine, calls=True)
    assert none == 0
    assert own > 4 * 10, "each decode takes four, and the agent has to be loaded"
    more, fewer = traced - plain, plain - traced
    assert set(more) <= FOR_MEMORY, more
    assert set(fewer) <= FOR_MEMORY, fewer
    assert sum(more.values()) <= 2
    assert sum(fewer.values()) <= 2


def batch(*rows: tuple[str, int, int]) -> np.ndarray:
    """Records of calls: name, thread, reference to a string."""
    records = np.zeros(len(rows), RECORD)
    records["kind"] = Kind.SYSCALL
    for row, (name, tid, text) in zip(records, rows, strict=True):
        row["tid"], row["text"] = tid, text
        if name == "own":
            row["args"][5] = MARK
        else:
            row["nr"] = numbers(0)[name]
    return records


def test_loading_ends_with_the_agents_first_call_also_in_another_batch(tmp_path: Path) -> None:
    agent = tmp_path / "libllamactl-agent.so"
    path = str(agent).encode()
    strings = memoryview(len(path).to_bytes(4, "little") + path)
    own = OwnCalls(agent)
    first = own.without(batch(("read", 1, 0), ("openat", 1, 1), ("read", 1, 0), ("read", 2, 0)), strings)
    assert first["tid"].tolist() == [1, 2], "the other thread's call and the one before stay"
    rest = own.without(batch(("mmap", 1, 0), ("own", 1, 0), ("read", 1, 0)), memoryview(b""))
    assert [call_of(0, int(nr)).name for nr in rest["nr"]] == ["read"]
    assert own.count == 4


def test_a_program_that_reads_the_agents_file_loses_little(tmp_path: Path) -> None:
    agent = tmp_path / "libllamactl-agent.so"
    path = str(agent).encode()
    strings = memoryview(len(path).to_bytes(4, "little") + path)
    kept = OwnCalls(agent).without(batch(("openat", 1, 1), *[("read", 1, 0)] * 100), strings)
    assert len(kept) == 100 - MOST_CALLS
