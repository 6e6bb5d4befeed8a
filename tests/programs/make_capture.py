"""Write the small capture that the views are tested with: a program that loads a model and generates.

Run from the repository root: python tests/programs/make_capture.py tests/captures/load.capture
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from llamactl.trace.capture.record import RECORD, Flag, Kind, Task
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.table import numbers

MAIN, WORKER, CHILD = 1000, 1001, 1100
BEGIN = 5_000_000_000
MODEL = b"/models/tiny.gguf"
MODEL_BYTES = 8 << 20
MODEL_ADDRESS = 0x7F1000000000
ARENA = 0x7F2000000000
PYTHON_RUNTIME = (0x900000, 0x910000)
PHASES = ["load", "tokenize", "prefill", "decode", "sample", "free"]
AT_FDCWD = (1 << 64) - 100


class Builder:
    """Writes records of one capture, each a step later than the one before."""

    def __init__(self, path: Path, **metadata: Any) -> None:
        self.writer = CaptureWriter(path)
        self.writer.metadata({
            "engine": "ptrace", "argv": ["python", "app.py"], "machine": "x86_64", "phases": PHASES,
            "counters": ["rss_bytes", "read_bytes", "file_rss_bytes"], "cost": {"per_record_ns": 9000.0},
            "regions": {"_PyRuntime": [list(PYTHON_RUNTIME)]}, **metadata,
        })  # fmt: skip
        self.records: list[np.ndarray[Any, Any]] = []

    def add(self, kind: Kind, at_us: float, **fields: Any) -> None:
        """Add a record that starts ``at_us`` microseconds after the beginning."""
        record = np.zeros(1, RECORD)
        record["kind"], record["pid"], record["tid"] = kind, MAIN, MAIN
        record["start"] = BEGIN + int(at_us * 1000)
        args = fields.pop("args", ())
        record["args"][0, : len(args)] = np.array([value & (1 << 64) - 1 for value in args], np.uint64)
        for name in ("text", "text2"):
            if isinstance(fields.get(name), bytes):
                fields[name] = self.writer.add_string(fields[name])
        for name, value in fields.items():
            record[name] = value
        self.records.append(record)

    def call(self, name: str, at_us: float, *args: int, took_us: float = 10, **fields: Any) -> None:
        """Add a system call."""
        self.add(Kind.SYSCALL, at_us, nr=numbers(0)[name], args=args, duration=int(took_us * 1000), **fields)

    def phase(self, name: str, at_us: float, took_us: float) -> None:
        """Add a phase."""
        self.add(Kind.PHASE, at_us, nr=PHASES.index(name), duration=int(took_us * 1000))

    def close(self) -> None:
        """Write everything in the order in which calls returned."""
        records = np.concatenate(self.records)
        order = np.argsort(records["start"] + records["duration"], kind="stable")
        self.writer.records(records[order])
        self.writer.close(complete=True)


def start(out: Builder) -> None:
    """The program begins: exec, a library, a configuration that isn't there."""
    out.add(Kind.FD, 0, nr=1, text=b"/dev/pts/3")
    out.call(
        "execve", 0, 0x1000, 0x2000, 0x3000, took_us=900, text=b"/usr/bin/python", text2=b"python\0app.py"
    )
    out.add(Kind.TASK, 800, nr=Task.EXEC, args=(MAIN,), text=b"python")
    out.call("brk", 1000, ret=0x1000000)
    out.call("openat", 1100, AT_FDCWD, 0x4000, 0o2000000, text=b"/lib/libc.so.6", ret=3)
    out.call("read", 1120, 3, 0x5000, 832, ret=832)
    out.call("mmap", 1140, 0, 1 << 20, 5, 0x802, 3, 0, ret=0x7F3000000000)
    out.call("close", 1160, 3)
    out.call("openat", 1200, AT_FDCWD, 0x4100, 0, text=b"/etc/app.conf", ret=-2)
    out.call("brk", 1300, 0x1040000, ret=0x1040000)
    out.call("write", 1400, 1, 0x5000, 12, ret=12)


def load(out: Builder) -> None:
    """The model is opened, its header read, the rest mapped; one page waits for the disk."""
    out.phase("load", 2000, 40000)
    out.call("openat", 2100, AT_FDCWD, 0x4200, 0, text=MODEL, ret=4)
    out.call("read", 2200, 4, 0x6000, 4096, ret=4096, took_us=50)
    out.call("mmap", 2400, 0, MODEL_BYTES, 1, 1, 4, 0, ret=MODEL_ADDRESS, took_us=30)
    out.call("madvise", 2500, MODEL_ADDRESS, MODEL_BYTES, 3)
    out.call("close", 2550, 4)
    for page in range(6):
        out.add(Kind.FAULT, 2600 + page, nr=int(page == 0), args=(MODEL_ADDRESS + page * 4096, 0x40))
    out.add(Kind.COUNTER, 3000, nr=0, ret=50 << 20)
    for at, disk, mapped in ((1500, 0, 1 << 20), (2150, 0, 1 << 20), (41000, 8 << 20, 10 << 20)):
        out.add(Kind.COUNTER, at, nr=1, ret=disk)
        out.add(Kind.COUNTER, at, nr=2, ret=mapped)
    out.call("mmap", 5000, 0, 64 << 20, 0, 0x4022, -1, 0, ret=ARENA)
    out.call("mmap", 5100, 0, 8 << 20, 3, 0x20022, -1, 0, ret=0x7F4000000000)
    out.call("clone3", 5200, 0x7000, 88, text=struct.pack("<8Q", 0x3D0F00, 0, 0, 0, 0, 0x7F4000000000, 8 << 20, 0),
             ret=WORKER)  # fmt: skip
    out.add(Kind.TASK, 5205, nr=Task.CLONE, args=(WORKER, MAIN))
    out.add(Kind.TASK, 5300, nr=Task.NAME, tid=WORKER, text=b"worker\x1b[31m")


def generate(out: Builder) -> None:
    """Prompt, then three tokens: the threads wait at a barrier; the GIL is contended once."""
    for at, mapped in ((71000, 10 << 20), (100500, (10 << 20) + 8192)):
        out.add(Kind.COUNTER, at, nr=1, ret=8 << 20)
        out.add(Kind.COUNTER, at, nr=2, ret=mapped)
    out.phase("tokenize", 43000, 1000)
    out.phase("prefill", 45000, 20000)
    out.call("futex", 46000, 0x1001000, 128, 1, 0, took_us=4000)
    out.call("futex", 46000, 0x1001000, 128, 1, 0, took_us=4100, tid=WORKER)
    for token in range(3):
        begin = 70000 + token * 10000
        out.phase("decode", begin, 8000)
        out.phase("sample", begin + 8500, 500)
        for tid in (MAIN, WORKER):
            out.call("futex", begin + 1000, 0x1001000, 128, 1, 0, took_us=2000 + tid % 10, tid=tid)
        out.call("write", begin + 9500, 1, 0x8000, 5, ret=5)
    out.call("futex", 84000, PYTHON_RUNTIME[0] + 64, 128 | 9, 1, 0, took_us=700, tid=WORKER)
    out.call("futex", 66000, ARENA + 128, 128, 2, 0, took_us=300, tid=WORKER)


def finish(out: Builder) -> None:
    """A temporary file stays behind, a child runs, a connection fails, the program ends."""
    out.phase("free", 101000, 2000)
    out.call("munmap", 101500, MODEL_ADDRESS, MODEL_BYTES, took_us=200)
    out.call("openat", 104000, AT_FDCWD, 0x4300, 0o302 | 0o2000000, 0o600, text=b"/tmp/left.bin", ret=5)
    out.call("write", 104100, 5, 0x8000, 100, ret=100)
    out.call("dup2", 104200, 5, 7, ret=7)
    out.add(Kind.TASK, 105000, nr=Task.FORK, args=(CHILD, CHILD))
    out.call("write", 105100, 7, 0x8000, 11, ret=11, pid=CHILD, tid=CHILD)
    out.call("execve", 105200, 0x1000, 0x2000, 0, text=b"/bin/true", text2=b"true", pid=CHILD, tid=CHILD)
    out.add(Kind.TASK, 105215, nr=Task.EXEC, args=(CHILD,), text=b"true", pid=CHILD, tid=CHILD)
    out.add(Kind.TASK, 105600, nr=Task.EXIT, ret=3 << 8, pid=CHILD, tid=CHILD)
    out.add(Kind.SIGNAL, 105610, nr=17, args=(CHILD,))
    out.call("wait4", 104900, CHILD, 0x9000, 0, 0, text=struct.pack("<i", 3 << 8), ret=CHILD, took_us=720)
    out.call("socket", 106000, 1, 1, 0, ret=6)
    out.call("connect", 106100, 6, 0xA000, 20, text=struct.pack("<H", 1) + b"/run/none.sock\0", ret=-111)
    out.call("exit_group", 107000, 0, flags=int(Flag.NO_EXIT), took_us=0)
    out.add(Kind.TASK, 107100, nr=Task.EXIT, ret=0)


def main() -> None:
    """Write the capture to the path given."""
    path = Path(sys.argv[1])
    out = Builder(path)
    for part in (start, load, generate, finish):
        part(out)
    out.close()
    os.chmod(path, 0o644)


if __name__ == "__main__":
    main()
