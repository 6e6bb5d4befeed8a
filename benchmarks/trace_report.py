"""How long a report over many records takes, and how much memory.

Makes a capture of realistic calls (an engine that loads and generates: reads, opens, mappings, futexes,
faults, phases), then draws every fact from it in a fresh process.

Run: python benchmarks/trace_report.py [RECORDS] [FILE]
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.writer import CaptureWriter

CHUNK = 65536
THREADS = 8
PATHS = 500

# Shares of a generation with two threads: futexes rule, then writes, reads, opens and mappings.
SHARES = {"futex": 0.62, "read": 0.1, "write": 0.06, "openat": 0.04, "close": 0.04, "fstat": 0.03, "mmap": 0.02,
          "munmap": 0.02, "fault": 0.06, "call": 0.01}  # fmt: skip


def make(path: Path, records: int) -> None:
    """Write a capture of ``records`` records."""
    from llamactl.trace.decode.table import numbers

    random = np.random.default_rng(1)
    writer = CaptureWriter(path)
    writer.metadata(
        {"engine": "perf", "argv": ["benchmark"], "functions": ["llama_decode", "llama_sampler_sample"]}
    )
    texts = np.array([writer.add_string(b"/usr/lib/file-%d" % index) for index in range(PATHS)], np.uint32)
    names = list(SHARES)
    shares = np.array(list(SHARES.values()))
    clock = 1_000_000_000
    for begin in range(0, records, CHUNK):
        count = min(CHUNK, records - begin)
        chunk = np.zeros(count, RECORD)
        which = random.choice(len(names), count, p=shares / shares.sum())
        chunk["kind"] = Kind.SYSCALL
        chunk["nr"] = np.array([numbers(0).get(name, 0) for name in names])[which]
        chunk["pid"] = 1000
        chunk["tid"] = 1000 + random.integers(0, THREADS, count)
        chunk["start"] = clock + np.cumsum(random.integers(200, 1500, count)).astype(np.uint64)
        clock = int(chunk["start"][-1])
        chunk["duration"] = random.integers(100, 20000, count)
        _arguments(chunk, which, names, random, texts)
        writer.records(chunk)
    writer.close()


def _arguments(
    chunk: np.ndarray, which: np.ndarray, names: list[str], random: np.random.Generator, texts: np.ndarray
) -> None:
    """Fill in what the calls of each kind worked on."""
    rows = {name: np.flatnonzero(which == index) for index, name in enumerate(names)}
    fds = random.integers(3, 64, len(chunk))
    chunk["args"][:, 0] = fds
    for name in ("read", "write"):
        chunk["ret"][rows[name]] = random.integers(-1, 65536, len(rows[name]))
    chunk["ret"][rows["openat"]] = fds[rows["openat"]]
    chunk["text"][rows["openat"]] = texts[random.integers(0, PATHS, len(rows["openat"]))]
    chunk["args"][rows["futex"], 0] = 0x7F0000000000 + random.integers(0, 200, len(rows["futex"])) * 64
    address = 0x600000000000 + random.integers(0, 300, len(chunk)) * (1 << 20)
    for row in (rows["mmap"], rows["munmap"]):
        chunk["args"][row, 0] = address[row]
        chunk["args"][row, 1] = 1 << 20
    chunk["args"][rows["mmap"], 2] = 3
    chunk["args"][rows["mmap"], 3] = 0x22
    chunk["ret"][rows["mmap"]] = address[rows["mmap"]]
    chunk["kind"][rows["fault"]] = Kind.FAULT
    chunk["args"][rows["fault"], 0] = 0x600000000000 + random.integers(0, 300 << 20, len(rows["fault"]))
    chunk["kind"][rows["call"]] = Kind.CALL
    chunk["nr"][rows["call"]] = random.integers(0, 2, len(rows["call"]))
    chunk["args"][rows["call"], 0] = 1
    chunk["duration"][rows["call"]] = 400


def measure(path: Path) -> None:
    """Draw the report in this process; print seconds, seconds of CPU (on a busy machine) and peak memory."""
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.mechanisms.report import analyse

    begin, cpu = time.perf_counter(), time.process_time()
    capture = Capture.open(path)
    report = analyse(capture)
    seconds, busy = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = f"{seconds:.2f} s ({busy:.2f} s of CPU)"
    print(f"{capture.count:,} records: {took}, {peak:.0f} MiB at most, {len(report.calls)} calls")


def main() -> None:
    """Make the capture, then measure it in a fresh process."""
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder) / "big.capture"
        make(path, records)
        subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
