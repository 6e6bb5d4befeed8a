"""The same program under strace and under llamactl: the arguments must read the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "programs" / "syscall_mix.py"
CALLS = ("openat,ftruncate,lseek,mmap,madvise,pipe2,dup3,mkdir,rename,unlink,rmdir,access,socket,memfd_create,"
         "eventfd2,munmap")  # fmt: skip

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace isn't installed")


def normal(lines: list[str]) -> list[str]:
    """Return calls with what may differ made equal: addresses, descriptors' targets, prose, order of flags."""
    found = []
    for line in lines:
        match = re.search(r"\b([a-z_0-9]+\(.*\)\s+= \S+(?: E[A-Z]+)?)", line)
        if not match:
            continue
        call = re.sub(r"(?<=\d)<[^<>]*>", "", match[1])
        call = re.sub(r"0x[0-9a-f]{5,}", "ADDRESS", call)
        call = re.sub(r"\b0([0-7]{3})\b", r"0o\1", call)
        call = re.sub(r"\{0=(\d+), 1=(\d+)\}", r"[\1, \2]", call)
        call = re.sub(
            r"[A-Z_0-9]+(?:\|[A-Z_0-9]+)+", lambda flags: "|".join(sorted(flags[0].split("|"))), call
        )
        found.append(re.sub(r"\s+= ", " = ", call))
    begin = next(index for index, call in enumerate(found) if '"made"' in call)
    return found[begin:]


def python() -> list[str]:
    return [sys.executable, "-S", "-E", "-B", str(PROGRAM)]


def test_every_call_reads_as_strace_writes_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    theirs = tmp_path / "strace.txt"
    subprocess.run(
        ["strace", "-o", str(theirs), "-s", "200", "-e", f"trace={CALLS}", "-e", "signal=none",
         *python(), str(tmp_path / "one")],
        check=True,
    )  # fmt: skip
    ours = tmp_path / "ours.txt"
    subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--engine", "ptrace", "--no-calls", "-e", f"trace={CALLS}", "--log",
         "--report", str(ours), "--", *python(), str(tmp_path / "two")],
        check=True, capture_output=True,
    )  # fmt: skip
    expected = normal(theirs.read_text(encoding="utf-8").splitlines())
    seen = normal(ours.read_text(encoding="utf-8").splitlines())
    assert len(expected) > 20
    assert seen == expected
