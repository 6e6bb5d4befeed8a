"""Attach to programs whose calls are known, by breakpoints or uprobes, and look at what they leave behind."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pytest

from llamactl.errors import LlamactlError
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.mechanisms.buffers.buffer_readers import How
from llamactl.trace.mechanisms.buffers.buffers import Verdict
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.record.calls.breakpoint_source import BreakpointSource
from llamactl.trace.record.calls.uprobes import UprobeSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
TRAP = b"\xcc"


class Memory:
    """A capture writer that keeps everything in memory."""

    def __init__(self) -> None:
        self.pieces: list[NDArray[np.void]] = [np.empty(0, RECORD)]
        self.facts: dict[str, Any] = {}
        self.arena = bytearray()

    def add_string(self, text: bytes) -> int:
        return self.add_arena(len(text).to_bytes(4, "little") + text) + 1

    def add_arena(self, strings: bytes | memoryview) -> int:
        base = len(self.arena)
        self.arena += strings
        return base

    def records(self, records: NDArray[np.void]) -> None:
        self.pieces.append(records.copy())

    def metadata(self, facts: dict[str, Any]) -> None:
        self.facts.update(facts)

    def text(self, reference: int) -> bytes:
        if not reference:
            return b""
        length = int.from_bytes(self.arena[reference - 1 : reference + 3], "little")
        return bytes(self.arena[reference + 3 : reference + 3 + length])

    @property
    def all(self) -> NDArray[np.void]:
        return np.concatenate(self.pieces)

    @property
    def functions(self) -> list[Function]:
        return [Function.from_metadata(row) for row in self.facts["function_table"]]

    def calls(self, name: str) -> NDArray[np.void]:
        numbers = [nr for nr, function in enumerate(self.functions) if function.name == name]
        records = self.all
        found: NDArray[np.void] = records[(records["kind"] == Kind.CALL) & np.isin(records["nr"], numbers)]
        return found

    def counts(self, ended: bool | None = None) -> Counter[str]:
        records = self.all
        records = records[records["kind"] == Kind.CALL]
        if ended is not None:
            records = records[((records["flags"] & int(Flag.NO_EXIT)) == 0) == ended]
        return Counter(self.functions[nr].name for nr in records["nr"].tolist())

    def counts_of(self, name: str) -> int:
        """Count while recording, when the function table isn't there yet: all calls."""
        return sum(int((piece["kind"] == Kind.CALL).sum()) for piece in self.pieces) if name else 0

    def exchange(self) -> Exchange:
        return Exchange.of([self.all], self.functions, self.text)


@dataclass
class Attached:
    """A program that is being traced, with pipes to and from it."""

    process: subprocess.Popen[str]
    source: BreakpointSource | UprobeSource
    writer: Memory = field(default_factory=Memory)
    attached: bool = True

    @property
    def input(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def say(self, line: str = "") -> None:
        self.input.write(line + "\n")
        self.input.flush()

    def drain(self) -> None:
        if self.attached:
            self.source.drain(self.writer)  # type: ignore[arg-type]

    def line(self) -> str:
        """Record until the program writes a line."""
        while not select.select([self.output], [], [], 0.002)[0]:
            self.drain()
        return self.output.readline()

    def end(self) -> tuple[str, int]:
        """Record until the program has closed its output and ended; return the rest of it and its status."""
        self.input.close()
        text = ""
        while more := self.line():
            text += more
        while self.process.poll() is None:
            self.drain()
        return text, self._status()

    def _status(self) -> int:
        """When parent and tracer are one process, either of them gets the status."""
        if self.attached and isinstance(self.source, BreakpointSource):
            while not self.source.finished:
                self.drain()
            state = self.source._engine._raw_state()
            if state.wait_status_known:
                return os.waitstatus_to_exitcode(state.wait_status)
        return int(self.process.returncode)

    def detach(self) -> None:
        self.source.finish(self.writer)  # type: ignore[arg-type]
        self.source.close()
        self.attached = False


def start(*command: str | Path, wait: Path | None = None) -> subprocess.Popen[str]:
    """Start a program and wait until it says that it is ready."""
    env = dict(os.environ)
    if wait is not None:
        env["LD_PRELOAD"] = str(wait)
    process = subprocess.Popen(
        [str(item) for item in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def attach(way: str, process: subprocess.Popen[str], **options: Any) -> Attached:
    """Attach; the test is skipped where that isn't allowed at all."""
    source: BreakpointSource | UprobeSource
    if way == "breakpoints":
        source = BreakpointSource(process.pid, **options)
    else:
        try:
            source = UprobeSource(process.pid, **options)
            source.begin()
        except LlamactlError as error:
            process.kill()
            if os.geteuid() == 0:
                raise
            pytest.skip(f"uprobes need root: {error}")
    return Attached(process, source)


def text_of(pid: int) -> dict[str, bytes]:
    """Return the executable memory of a process by file, padding included."""
    found: dict[str, bytes] = {}
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in lines:
            fields = line.split(maxsplit=5)
            if "x" in fields[1] and len(fields) == 6 and fields[5].startswith("/"):
                begin, end = (int(part, 16) for part in fields[0].split("-"))
                memory.seek(begin)
                found[f"{fields[5]}+{fields[2]}"] = memory.read(end - begin)
    return found


def file_text(name: str, size: int) -> bytes:
    """Return the same bytes from the file, as the kernel maps them."""
    path, _, offset = name.rpartition("+")
    with Path(path).open("rb") as file:
        file.seek(int(offset, 16))
        data = file.read(size)
    return data


def assert_untouched(pid: int) -> None:
    """The program's code is what its files say, and nobody traces it."""
    for name, memory in text_of(pid).items():
        on_disk = file_text(name, len(memory))
        assert memory[: len(on_disk)] == on_disk, name
    assert "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text()


def compile_program(compiler: str, target: Path, sources: list[str], *options: str) -> Path:
    path = shutil.which(compiler)
    assert path, f"the tests need {compiler}"
    command = [path, "-O2", "-Wall", "-Wextra", *[str(PROGRAMS / name) for name in sources]]
    subprocess.run([*command, *options, "-o", str(target)], check=True)
    return target


EXPECTED_READERS = {
    "view": (Verdict.VIEWED, How.IN_PLACE),
    "numpy": (Verdict.NUMPY_COPY, How.NUMPY_COPY),
    "list": (Verdict.LIST_COPY, How.LIST),
    "element": (Verdict.VIEWED, How.ELEMENTS),
    "sampler": (Verdict.SAMPLER, How.SAMPLER),
    "stale": (Verdict.VIEWED, How.ELEMENTS),
}
"""What is said of programs/boundary_reads.py, by the way in which it reads the logits."""
