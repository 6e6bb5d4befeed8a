"""Each filter on a real program: the calls that it leaves are those that strace's own filter leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from recording import PROGRAMS, Program, Recorded, engines, recorded
from support import SOURCES

from llamactl.trace.decode.filters import Selection, parse_calls
from llamactl.trace.mechanisms.report import analyse

pytest_plugins = ["recording"]

pytestmark = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace isn't installed: nothing to compare with"
)

VARIES = {"futex", "brk"}
TRUTHS = 5
"""These depend on time and on where the heap begins."""

# Ours, and strace's way to say it: there a regular expression has no slash at its end.
EXPRESSIONS = [
    ("%file", "%file"),
    ("%memory", "%memory"),
    ("%network", "%network"),
    ("%process", "%process"),
    ("%desc", "%desc"),
    ("openat", "openat"),
    ("openat,close,?no_such_call", "openat,close,?no_such_call"),
    ("/^m.*p$/", "/^m.*p$"),
    ("/stat/,%network", "/stat,%network"),
    ("!futex", "!futex"),
    ("!%file,read", "!%file,read"),
]


def strace(*words: str) -> Counter[str]:
    """Return strace's calls by name."""
    done = subprocess.run(
        ["strace", "-f", "-c", "-U", "name,calls", *words], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in done.stderr.splitlines())
    return Counter(
        {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "total"}
    )


def shown(seen: Recorded, selection: Selection) -> Counter[str]:
    """Return what a report on that selection counts."""
    return Counter({row.name: row.count - row.unfinished for row in analyse(seen.capture, selection).calls})


def without(counts: Counter[str], names: set[str]) -> Counter[str]:
    return Counter({name: count for name, count in counts.items() if name not in names and count})


@pytest.fixture
def mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The same program twice, in two fresh directories."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    # Python asks for the position of its stdin and stdout: they have to be the same.
    same = ["sh", "-c", 'exec "$@" </dev/null >/dev/null 2>&1', "sh"]
    start = [*same, sys.executable, "-S", "-E", "-B", str(PROGRAMS / "syscall_mix.py")]
    return [[*start, str(tmp_path / name)] for name in ("one", "two")]


@engines()
@pytest.mark.parametrize(("ours", "theirs"), EXPRESSIONS, ids=[ours for ours, _ in EXPRESSIONS])
def test_an_expression_selects_what_strace_selects(
    tmp_path: Path, mix: list[list[str]], engine: str, ours: str, theirs: str
) -> None:
    seen = recorded(tmp_path / "c", mix[1], engine, parse_calls([f"trace={ours}"]))
    # Whether a thread gets an ended one's stack or makes its own is a matter of moments: strace sees both, too.
    for _ in range(TRUTHS):
        truth = strace("-e", f"trace={theirs}", *mix[0])
        if without(seen.counts(), VARIES) == without(truth, VARIES):
            break
    assert without(seen.counts(), VARIES) == without(truth, VARIES)
    assert truth.total() > 0


@pytest.mark.parametrize("engine", ["ptrace", "python"])
def test_what_is_not_selected_makes_no_stop(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("threads"), "2", "10000", "2"]
    few = recorded(tmp_path / "few", argv, engine, parse_calls(["openat,execve"]))
    assert few.counts() == without(strace("-e", "trace=openat,execve", *argv), set())
    assert 0 < few.capture.metadata["cost"]["stops"] < 100
    every = recorded(tmp_path / "every", argv, engine, parse_calls(["getppid"]))
    assert every.counts() == {"getppid": 20_000}
    assert every.capture.metadata["cost"]["stops"] >= 20_000


ON_FILES = """
import os, sys
one, two = sys.argv[1:]
for path in (one, two, one):
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 100)
    os.lseek(fd, 0, 0)
    os.read(fd, 50)
    os.fstat(fd)
    copy = os.dup(fd)
    os.close(fd)
    os.read(copy, 10)
    os.close(copy)
os.stat(one)
os.rename(two, two + ".new")
os.unlink(one)
try:
    os.unlink(one)
except FileNotFoundError:
    pass
"""


@engines()
def test_a_path_selects_what_names_it_or_works_on_it(tmp_path: Path, engine: str) -> None:
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    argv = [sys.executable, "-S", "-c", ON_FILES, *paths]
    seen = recorded(tmp_path / "c", argv, engine)
    (tmp_path / "two.new").unlink()
    for path in paths:
        assert shown(seen, Selection(paths=(path.encode(),))) == strace("-P", path, *argv)
        (tmp_path / "two.new").unlink()


@engines()
def test_errors_are_those_that_strace_counts(tmp_path: Path, mix: list[list[str]], engine: str) -> None:
    output = tmp_path / "strace.txt"
    subprocess.run(["strace", "-f", "-Z", "-o", str(output), *mix[0]], check=True)
    failed = Counter(re.findall(r"^\d+ +(\w+)\(.* = -1 E", output.read_text(encoding="utf-8"), re.MULTILINE))
    seen = recorded(tmp_path / "c", mix[1], engine)
    assert shown(seen, Selection(errors=True)) == failed
    assert failed.total() > 3


@engines()
def test_a_thread_s_calls(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("threads"), "3", "50", "3"]
    output = tmp_path / "strace.txt"
    subprocess.run(["strace", "-f", "-e", "trace=!futex", "-o", str(output), *argv], check=True)
    lines = [line.split() for line in output.read_text(encoding="utf-8").splitlines()]
    truth: dict[str, Counter[str]] = {}
    for tid, word, *_ in lines:
        if (name := re.match(r"\w+\(", word)) and not word.startswith("exit"):
            truth.setdefault(tid, Counter())[name[0][:-1]] += 1
    seen = recorded(tmp_path / "c", argv, engine)
    stack = {"munmap", "mmap", "mprotect", "madvise", "futex"}  # A thread may get an ended one's stack.
    main = without(shown(seen, Selection(threads=("main",))), stack)
    assert main == without(truth[lines[0][0]], stack)
    workers = [row.tid for row in analyse(seen.capture).threads if row.role != "main"]
    assert len(workers) == 3
    for worker in workers:
        assert shown(seen, Selection(threads=(str(worker),)))["getppid"] == 50


PHASES = """
import os, sys
sys.path.insert(0, sys.argv[1])
from llamactl.trace.record.clocked.marks import phase
for name, times in (("load", 3), ("decode", 5), ("sample", 2), ("decode", 4)):
    with phase(name):
        for _ in range(times):
            os.getppid()
os.getppid()
"""


@engines()
def test_a_phase_s_calls(tmp_path: Path, engine: str) -> None:
    argv = [sys.executable, "-c", PHASES, str(SOURCES)]
    seen = recorded(tmp_path / "c", argv, engine, marks=True)
    for wanted, count in ((("load",), 3), (("decode",), 9), (("decode", "sample"), 11), (("outside",), 1)):
        assert shown(seen, Selection(phases=wanted))["getppid"] == count
