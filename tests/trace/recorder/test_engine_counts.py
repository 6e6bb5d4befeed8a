"""llama.cpp loading and generating, through llamactl and through llama-cpp-python: every call as strace counts it.

What makes two runs of the same program differ is taken away: the addresses (``setarch -R``), the hashes of
strings, bytecode that the first run would write, the name of the test, which pytest puts into the environment, what
ggml puts there once it is loaded into this process (a variable that ``os.environ`` doesn't know of, and
:mod:`subprocess` passes on), and what stdin and stdout are, after which Python chooses its buffers. What is left
differs between two runs under strace, too:

- futex, sched_yield: a thread that finds a lock taken waits in the kernel, one that comes later doesn't; how long
  it spins before is time.
- restart_syscall: such a wait, gone on with after a signal.
- brk, mmap, munmap and mprotect, for ``llamactl run`` alone: on a loaded machine one brk more or less was seen; why
  isn't known.
- select and pselect6, for ``llamactl run`` alone: while its child renders the chat template it looks for Ctrl-C
  twice a second.
- read of /proc/PID/smaps, which ``llamactl run`` looks at when it is done: one for each page of text, so their number
  hangs on how many pieces that heap has. These alone are left out; every other read is counted.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from recording import PROGRAMS, engines, recorded, strace_counts
from support import SOURCES, python_with_llama_cpp

from llamactl.trace.record.agent.library import find_agent

pytest_plugins = ["recording"]

pytestmark = [
    pytest.mark.skipif(not shutil.which("strace"), reason="strace isn't installed: nothing to compare with"),
    pytest.mark.skipif(
        not shutil.which("setarch") or subprocess.run(["setarch", "-R", "true"], check=False).returncode != 0,
        reason="setarch -R isn't there or not allowed: addresses would differ from run to run",
    ),
]

DEPENDS_ON_TIME = {"futex", "sched_yield", "restart_syscall"}
OF_PROGRAM = {
    "llamactl": DEPENDS_ON_TIME | {"brk", "mmap", "munmap", "mprotect", "select", "pselect6"},
    "llama-cpp-python": DEPENDS_ON_TIME,
}
LEAST_CALLS = 3000

Counts = tuple["Counter[str]", "Counter[str]"]


@pytest.fixture(autouse=True)
def same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what makes two runs of a Python program differ."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(find_agent().parent))
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))


@pytest.fixture
def command(model_path: Path) -> Callable[[str, int], list[str]]:
    """Return a function that makes the command line of a program with so many threads."""

    def make(program: str, threads: int) -> list[str]:
        start = [
            "sh",
            "-c",
            'exec "$@" </dev/null >/dev/null',
            "sh",
            "env",
            "-u",
            "PYTEST_CURRENT_TEST",
            "setarch",
            "-R",
        ]
        if program == "llamactl":
            words = ["run", "-m", str(model_path), "--temp", "0", "-n", "8", "-t", str(threads), "Hello"]
            return [*start, sys.executable, "-m", "llamactl", *words]
        return [*start, "env", "-u", "PYTHONPATH", python_with_llama_cpp(), str(PROGRAMS / "generate_eight.py"),
                str(model_path), str(threads)]  # fmt: skip

    return make


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Counts]:
    """Return a function that asks strace, once for each command."""

    @functools.cache
    def ask(*argv: str) -> Counts:
        place = tmp_path_factory.mktemp("strace")
        calls, errors = strace_counts(place, list(argv), log=True)
        lines = (place / "strace.txt").read_text(encoding="utf-8", errors="replace")
        calls["read"] -= len(re.findall(r"\bread\(\d+</proc/\d+/smaps>", lines))
        return calls, errors

    return ask


@engines()
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("program", list(OF_PROGRAM))
def test_every_call_of_loading_and_generating(
    tmp_path: Path,
    command: Callable[[str, int], list[str]],
    truth: Callable[..., Counts],
    engine: str,
    threads: int,
    program: str,
) -> None:
    argv = command(program, threads)
    calls, errors = truth(*argv)
    seen = recorded(tmp_path / "c", argv, engine)
    assert seen.result.exit_code == 0
    assert seen.result.complete
    assert seen.result.lost == 0
    varies = OF_PROGRAM[program]
    assert sum(calls.values()) > LEAST_CALLS
    counts = seen.counts()
    counts["read"] -= seen.reads_of(b"/smaps")
    assert without(counts, varies) == without(calls, varies)
    assert without(seen.errors(), varies) == without(errors, varies)


def without(counts: Counter[str], names: set[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if name not in names}
