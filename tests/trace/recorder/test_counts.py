"""Calls, results, errors and strings are those that the program made: strace is the independent truth."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from recording import NUMBERS, Program, engines, may_use_perf, recorded, strace_counts

from llamactl.process.memory.regions import find_regions
from llamactl.trace.capture.record import Flag, Kind, Task

pytest_plugins = ["recording"]

pytestmark = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace isn't installed: nothing to compare with"
)

# A thread that waits may be woken early, and then waits again: no two runs have the same number of these.
VARIES = {"futex", "restart_syscall", "pause", "rt_sigsuspend"}


# glibc gives a new thread the stack and the arena of one that ended: whether one has ended by then is time.
VARIES_WITH_THREADS = VARIES | {"mmap", "munmap", "mprotect", "madvise"}


def settled(counts: Counter[str], varies: set[str] = VARIES) -> Counter[str]:
    return Counter({name: count for name, count in counts.items() if name not in varies})


@engines()
@pytest.mark.parametrize("name", ["call_files", "call_memory", "call_network", "call_process", "with_filter"])
def test_counts_and_errors_equal_straces(tmp_path: Path, program: Program, engine: str, name: str) -> None:
    argv = [program(name)]
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    extra = [["."], ["."]] if name == "call_files" else [[], []]
    truth, errors = strace_counts(tmp_path, argv + extra[0], cwd=places[0])
    seen = recorded(tmp_path / "c", argv + extra[1], engine, cwd=str(places[1]))
    assert settled(seen.counts()) == settled(truth)
    if name != "call_process":  # There strace counts interrupted calls as errors, and they vary.
        assert settled(seen.errors()) == settled(errors)
    assert seen.result.complete
    assert seen.capture.complete
    assert seen.result.lost == 0


@engines()
def test_a_selection_is_counted_like_everything(tmp_path: Path, program: Program, engine: str) -> None:
    selection = frozenset(NUMBERS[name] for name in ("openat", "write", "unlink", "close"))
    truth, _ = strace_counts(tmp_path, [program("call_files"), str(tmp_path)])
    seen = recorded(tmp_path / "c", [program("call_files"), str(tmp_path)], engine, selection)
    assert seen.counts() == Counter({name: truth[name] for name in ("openat", "write", "unlink", "close")})


@engines()
def test_arguments_results_and_paths(tmp_path: Path, program: Program, engine: str) -> None:
    seen = recorded(tmp_path / "c", [program("call_files"), str(tmp_path)], engine)
    writes = seen.calls("write")
    assert (writes["ret"] == 100).sum() == 50
    assert set(writes["args"][writes["ret"] == 100][:, 2].tolist()) == {100}
    assert seen.texts("rename") == [b"one"]
    assert [seen.capture.text(reference) for reference in seen.calls("rename")["text2"]] == [b"two"]
    assert seen.texts("mkdir") == [b"inside"]
    assert seen.texts("execve") == [program("call_files").encode()]
    missing = seen.calls("access")
    assert missing["ret"][-1] == -2
    assert seen.texts("access")[-1] == b"nothing here"
    assert seen.result.exit_code == 7


@engines()
def test_a_call_ends_after_it_begins_and_openat_comes_before_its_close(
    tmp_path: Path, program: Program, engine: str
) -> None:
    seen = recorded(tmp_path / "c", [program("call_files"), str(tmp_path)], engine)
    calls = seen.of(Kind.SYSCALL)
    ends = calls["start"] + calls["duration"]
    assert (ends[1:] >= ends[:-1]).all()
    assert (calls["start"] > 0).all()


@engines()
def test_processes_and_threads(tmp_path: Path, program: Program, engine: str) -> None:
    seen = recorded(tmp_path / "c", [program("call_process")], engine)
    tasks = seen.of(Kind.TASK)
    born = Counter(tasks["nr"].tolist())
    assert born[Task.FORK] + born[Task.VFORK] + born[Task.CLONE] == 6
    assert born[Task.EXEC] == 4
    assert seen.result.exit_code == 128 + signal.SIGTERM
    assert len(set(seen.of(Kind.SYSCALL)["pid"].tolist())) == 6


@engines()
def test_a_thread_that_takes_the_first_ones_id_by_exec(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("exec_in_thread")]
    truth, _ = strace_counts(tmp_path, argv)
    seen = recorded(tmp_path / "c", argv, engine)
    assert settled(seen.counts()) == settled(truth)
    calls = seen.calls("getppid")
    assert sorted(Counter(calls["tid"].tolist()).values()) == [7, 10]
    assert (calls["tid"] == seen.result.pid).sum() == 7
    assert seen.result.exit_code == 3


@engines("ptrace", "python")
def test_signals_are_recorded_and_delivered(tmp_path: Path, program: Program, engine: str) -> None:
    seen = recorded(tmp_path / "c", [program("call_process")], engine)
    signals = Counter(seen.of(Kind.SIGNAL)["nr"].tolist())
    assert signals[signal.SIGUSR1] == 10
    assert signals[signal.SIGTERM] == 1


@engines()
def test_eight_threads_lose_nothing(tmp_path: Path, program: Program, engine: str) -> None:
    each = 5_000 if engine == "python" else 20_000 if engine == "ptrace" else 100_000
    seen = recorded(tmp_path / "c", [program("threads"), "8", str(each), "8"], engine)
    assert len(seen.calls("getppid")) == 8 * each
    assert seen.result.lost == 0
    per_thread = Counter(seen.calls("getppid")["tid"].tolist())
    assert sorted(per_thread.values()) == [each] * 8
    assert (seen.calls("getppid")["flags"] == 0).all()


@engines()
def test_a_storm_of_200_threads(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("threads"), "200", "5", "200"]
    truth, _ = strace_counts(tmp_path, argv)
    seen = recorded(tmp_path / "c", argv, engine)
    assert settled(seen.counts(), VARIES_WITH_THREADS) == settled(truth, VARIES_WITH_THREADS)
    assert len(seen.calls("getppid")) == 1000
    assert seen.counts()["clone3"] == 200
    assert (seen.of(Kind.TASK)["nr"] == Task.CLONE).sum() == 200
    assert seen.result.exit_code == 0


@engines()
def test_500_short_children(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("children"), "500"]
    truth, errors = strace_counts(tmp_path, argv)
    seen = recorded(tmp_path / "c", argv, engine)
    assert settled(seen.counts()) == settled(truth)
    assert settled(seen.errors()) == settled(errors)
    assert len(seen.calls("getppid")) == 500
    assert len(set(seen.calls("getppid")["pid"].tolist())) == 500
    assert seen.counts()["wait4"] == 500
    ends = seen.of(Kind.SYSCALL)
    assert ((ends["nr"] == NUMBERS["exit_group"]) & (ends["flags"] & Flag.NO_EXIT != 0)).sum() == 501


PYTHON = """
import os, subprocess, sys, threading
def work():
    for _ in range(50): os.getppid()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
for _ in range(3): subprocess.run([sys.executable, '-S', '-c', 'import os; os.getppid()'])
"""


@engines()
def test_a_python_program_with_threads_and_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # Its length hangs on the test, and the heap on its length.
    argv = [sys.executable, "-S", "-B", "-c", PYTHON]
    truth, errors = strace_counts(tmp_path, argv)
    seen = recorded(tmp_path / "c", argv, engine)
    varies = VARIES_WITH_THREADS | {"brk"}  # The heap begins at a random place within a page.
    assert len(seen.calls("getppid")) == 4 * 50 + 3
    assert settled(seen.counts(), varies) == settled(truth, varies)
    assert settled(seen.errors(), varies) == settled(errors, varies)


def test_faults_and_mappings_from_perf(tmp_path: Path, program: Program) -> None:
    if not may_use_perf():
        pytest.skip("perf tracepoints need CAP_PERFMON")
    seen = recorded(tmp_path / "c", [program("call_memory")], "perf")
    faults = seen.of(Kind.FAULT)
    assert len(faults) >= 20 * 64  # Each round touches 64 new pages.
    first = seen.calls("mmap")
    big = first[first["args"][:, 1] == 64 * 4096]
    inside = (faults["args"][:, 0] >= big["ret"][0].astype("u8")) & (
        faults["args"][:, 0] < big["ret"][0].astype("u8") + 64 * 4096
    )
    assert inside.sum() >= 64
    files = {seen.capture.text(reference) for reference in seen.of(Kind.MAP)["text"].tolist()}
    assert program("call_memory").encode() in files


@engines()
def test_the_capture_takes_few_bytes_a_record(tmp_path: Path, engine: str) -> None:
    code = "import os\nfor i in range(3000): os.path.exists('/usr/lib/python3/a-path-of-usual-length.py')"
    seen = recorded(tmp_path / "c", [sys.executable, "-S", "-c", code], engine)
    assert len(seen.records) > 3000
    assert seen.capture.path.stat().st_size / len(seen.records) <= 128


def test_where_the_gil_lies_is_kept(tmp_path: Path) -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    target: Any = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    target.stdout.readline()
    regions = find_regions(target.pid)
    maps = Path(f"/proc/{target.pid}/maps").read_text()
    target.communicate()
    ((begin, end),) = regions["_PyRuntime"]
    assert 10_000 < end - begin < 2_000_000
    spans = [line.split()[0].split("-") for line in maps.splitlines()]
    assert any(int(low, 16) <= begin < int(high, 16) for low, high in spans)
