"""Record a program and look at the capture; ask strace for the truth."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.ptrace_library import ARCHITECTURES
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions, SessionResult
from llamactl.trace.record.syscalls.base import Command
from llamactl.trace.record.syscalls.refusal import CAP_PERFMON, CAP_SYS_ADMIN, read_rights

NAMES = ARCHITECTURES["x86_64"] | {
    332: "statx",
    334: "rseq",
    435: "clone3",
    436: "close_range",
    439: "faccessat2",
}
NUMBERS = {name: number for number, name in NAMES.items() if number < 512}  # From 512 on: x32.
Records = NDArray[np.void]
Program = Callable[[str], str]
"""Compiles tests/programs/NAME.c and returns the executable."""

ENGINES = ("ptrace", "perf", "python")


def may_use_perf() -> bool:
    rights = read_rights()
    return rights.has(CAP_PERFMON) or rights.has(CAP_SYS_ADMIN)


def engines(*names: str) -> pytest.MarkDecorator:
    """Parametrize a test over engines; perf is skipped where there is no right to use it."""
    skip = pytest.mark.skipif(not may_use_perf(), reason="perf tracepoints need CAP_PERFMON")
    return pytest.mark.parametrize(
        "engine", [pytest.param(name, marks=skip if name == "perf" else ()) for name in names or ENGINES]
    )


PROGRAMS = Path(__file__).resolve().parents[2] / "programs"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return a function that compiles tests/programs/NAME.c and returns the executable's path."""
    folder = tmp_path_factory.mktemp("programs")

    def compile_program(name: str) -> str:
        target = folder / name
        if not target.exists():
            source = PROGRAMS / f"{name}.c"
            flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-result", "-pthread"]
            subprocess.run(["cc", *flags, str(source), "-o", str(target)], check=True)
        return str(target)

    return compile_program


@dataclass
class Recorded:
    result: SessionResult
    capture: Capture
    records: Records

    def of(self, kind: Kind) -> Records:
        found: Records = self.records[self.records["kind"] == kind]
        return found

    def calls(self, name: str) -> Records:
        calls = self.of(Kind.SYSCALL)
        found: Records = calls[calls["nr"] == NUMBERS[name]]
        return found

    def counts(self) -> Counter[str]:
        """Calls that returned, by name, as strace counts them."""
        calls = self.of(Kind.SYSCALL)
        returned = calls[(calls["flags"] & Flag.NO_EXIT) == 0]
        return Counter(NAMES[number] for number in returned["nr"].tolist())

    def errors(self) -> Counter[str]:
        calls = self.of(Kind.SYSCALL)
        failed = calls[(calls["ret"] < 0) & (calls["ret"] > -4096) & ((calls["flags"] & Flag.NO_EXIT) == 0)]
        return Counter(NAMES[number] for number in failed["nr"].tolist())

    def reads_of(self, ending: bytes) -> int:
        """Return how many ``read`` calls work on files whose path ends so, opened by openat."""
        found, opened = 0, set()
        for row in self.of(Kind.SYSCALL):
            descriptor = (int(row["pid"]), int(row["args"][0]))
            if row["nr"] == NUMBERS["openat"] and self.capture.text(row["text"]).endswith(ending):
                opened.add((int(row["pid"]), int(row["ret"])))
            elif row["nr"] == NUMBERS["close"]:
                opened.discard(descriptor)
            elif row["nr"] == NUMBERS["read"] and descriptor in opened:
                found += 1
        return found

    def texts(self, name: str) -> list[bytes]:
        return [self.capture.text(reference) for reference in self.calls(name)["text"].tolist()]


def recorded(
    path: Path,
    argv: list[str],
    engine: str | None,
    selection: frozenset[int] | None = None,
    cwd: str | None = None,
    **options: Any,
) -> Recorded:
    """Record a command."""
    writer = CaptureWriter(path)
    result = record(
        Command(tuple(argv), cwd=cwd), SessionOptions(engine=engine, selection=selection, **options), writer
    )
    return read(path, result)


def read(path: Path, result: SessionResult) -> Recorded:
    capture = Capture.open(path)
    chunks = list(capture.chunks())
    return Recorded(result, capture, np.concatenate(chunks) if chunks else np.zeros(0, RECORD))


def strace_counts(
    tmp_path: Path, argv: list[str], cwd: Path | None = None, log: bool = False
) -> tuple[Counter[str], Counter[str]]:
    """Return strace's calls and errors by name; with ``log`` its lines are in ``tmp_path / "strace.txt"``."""
    output = tmp_path / "strace.txt"
    subprocess.run(
        ["strace", "-f", *(["-C", "-y"] if log else ["-c"]), "-U", "name,calls,errors", "-o", str(output), *argv],
        # As llamactl passes it on: the process's own has what C libraries put there (COLUMNS, KMP_BLOCKTIME).
        cwd=cwd, check=False, stdout=subprocess.DEVNULL, env=dict(os.environ),
    )  # fmt: skip
    calls: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for line in output.read_text().splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in NUMBERS and words[1].isdigit():
            calls[words[0]] = int(words[1])
            errors[words[0]] = int(words[2]) if len(words) > 2 else 0
    return calls, +errors
