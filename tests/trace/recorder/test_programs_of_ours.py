"""System calls that our BPF programs record: with the strings that ptrace reads, and what else where refused."""

from __future__ import annotations

import errno
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import NAMES, NUMBERS, Program, Recorded, may_use_perf, recorded
from test_refusal import ROOT, under

from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.capture.strings import StringPieces
from llamactl.trace.record.syscalls import perf_recorder
from llamactl.trace.record.syscalls.base import Batch, Engine, Options
from llamactl.trace.record.syscalls.choose import choose_engine, make_engine
from llamactl.trace.record.syscalls.perf import BY_TRACEPOINTS
from llamactl.trace.record.syscalls.refusal import (
    CAP_BPF,
    CAP_PERFMON,
    CAP_SYS_ADMIN,
    Rights,
    programs_refused,
)

pytest_plugins = ["recording"]

x86 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the numbers of the refused calls are x86-64's"
)
allowed = pytest.mark.skipif(not may_use_perf(), reason="BPF programs need CAP_BPF and CAP_PERFMON")
pytestmark = [x86, allowed]

VARIES = {"clone3", "connect", "getsockname"}
"""Calls with addresses of memory, or ports, in what they keep."""


@pytest.fixture
def without_bpf(program: Program) -> list[str]:
    """The beginning of a command that runs another under a seccomp profile that refuses bpf(2)."""
    return [program("refuse"), str(NUMBERS["bpf"]), "--"]


def uses_programs(seen: Recorded) -> bool:
    return not any(note.startswith(BY_TRACEPOINTS) for note in seen.result.notes)


def kept(seen: Recorded) -> Counter[tuple[str, bytes, bytes, int]]:
    """What calls keep of their arguments, and whether that is whole."""
    calls = seen.of(Kind.SYSCALL)
    text = seen.capture.text
    return Counter(
        (NAMES[row["nr"]], text(row["text"]), text(row["text2"]), int(row["flags"]) & Flag.TEXT_CUT)
        for row in calls[(calls["flags"] & Flag.NO_EXIT) == 0]
        if NAMES[row["nr"]] not in VARIES and (row["text"] or row["text2"])
    )


@pytest.mark.parametrize("name", ["call_files", "call_network", "call_process", "call_memory"])
def test_strings_are_those_that_ptrace_reads(tmp_path: Path, program: Program, name: str) -> None:
    found = []
    for engine in ("perf", "ptrace"):
        place = tmp_path / engine
        place.mkdir()
        extra = ["."] if name == "call_files" else []
        found.append(recorded(tmp_path / f"{engine}.c", [program(name), *extra], engine, cwd=str(place)))
    assert uses_programs(found[0])
    assert kept(found[0]) == kept(found[1])
    for call in sorted(VARIES):
        assert [len(text) for text in found[0].texts(call)] == [len(text) for text in found[1].texts(call)]


def test_a_name_in_memory_that_nobody_has_touched(tmp_path: Path, program: Program) -> None:
    names = tmp_path / "names"
    names.write_bytes(b"/no/such\0".ljust(4096 - 4, b"\0") + b"/no/across\0".ljust(4096, b"\0"))
    found = [
        recorded(tmp_path / engine, [program("untouched"), str(names)], engine)
        for engine in ("perf", "ptrace")
    ]
    assert uses_programs(found[0])
    texts = Counter(found[0].texts("access"))
    assert texts[b"/no/such"] == texts[b"/no/across"] == 20
    assert kept(found[0]) == kept(found[1])


TARGET = """
import os, subprocess, sys, threading
def ask(name): os.path.exists(name)
for line in sys.stdin:
    name = "/no/" + line.strip()
    thread = threading.Thread(target=ask, args=(name,)); thread.start(); thread.join()
    subprocess.run(["/bin/true"])
    print(name, flush=True)
"""


def strings_of(engine: Engine, until: Callable[[], bool]) -> list[tuple[str, bytes]]:
    """Poll until it is time to let the program go, then to the end; return what the calls keep."""
    found: list[tuple[str, bytes]] = []

    def take(batch: Batch | None) -> None:
        if batch is not None:
            strings = StringPieces([batch.strings])
            calls = batch.records[batch.records["kind"] == int(Kind.SYSCALL)]
            found.extend((NAMES[row["nr"]], strings.get(int(row["text"]))) for row in calls)

    while not until():
        take(engine.poll(0.01))
    engine.detach()
    while not engine.state().finished:
        take(engine.poll(0.01))
    while (batch := engine.poll(0)) is not None:
        take(batch)
    return found


def test_a_program_that_runs_already_has_strings_too() -> None:
    target: Any = subprocess.Popen(
        [sys.executable, "-S", "-c", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    target.stdin.write("first\n")
    target.stdin.flush()
    assert target.stdout.readline() == "/no/first\n"
    engine = make_engine("perf", Options())
    engine.attach(target.pid)
    target.stdin.write("second\n")
    target.stdin.flush()
    answers = []

    def answered() -> bool:
        answers.append(target.stdout.readline())
        return True

    found = strings_of(engine, answered)
    state = engine.state()
    engine.close()
    target.communicate("")
    assert answers == ["/no/second\n"]
    assert not state.lost
    assert [note.startswith("the engine perf sees no signals") for note in state.notes] == [True]
    texts = [text for _, text in found]
    assert b"/no/second" in texts
    assert b"/no/first" not in texts
    assert ("execve", b"/bin/true") in found
    assert ("openat", b"/etc/ld.so.cache") in found  # by the child


@pytest.mark.parametrize(
    ("programs", "attach", "taken"),
    [(True, True, "perf"), (False, True, "ptrace"), (True, False, "perf"), (False, False, "perf")],
)
def test_the_engine_that_is_taken_unasked(
    monkeypatch: pytest.MonkeyPatch, programs: bool, attach: bool, taken: str
) -> None:
    if not programs:
        monkeypatch.setattr(perf_recorder, "MACHINES", ())
    choice = choose_engine(None, Options(), attach=attach)
    choice.engine.close()
    assert choice.engine.name == taken


def test_what_does_not_fit_is_counted(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_recorder, "RING_BYTES", 4096)
    seen = recorded(tmp_path / "c", [program("threads"), "2", "20000", "2"], "perf")
    assert uses_programs(seen)
    assert not seen.result.complete
    assert seen.of(Kind.LOST)["ret"].sum() == seen.result.lost
    assert seen.result.lost + len(seen.calls("getppid")) >= 40000 > len(seen.calls("getppid"))


def test_a_profile_that_refuses_bpf(tmp_path: Path, without_bpf: list[str]) -> None:
    got = under(without_bpf, "perf", str(tmp_path / "c"), "/bin/true")
    assert got["complete"]
    assert got["notes"][0] == f"{BY_TRACEPOINTS}: a seccomp profile refuses bpf"
    assert "/etc/ld.so.cache" in got["texts"]


def test_a_pid_namespace(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("unshare isn't installed")
    prefix = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no pid namespace can be made here")
    got = under(prefix, "perf", str(tmp_path / "c"), "/bin/true")
    assert got["complete"]
    assert "pid namespace" in got["notes"][0]
    assert "/etc/ld.so.cache" in got["texts"]


@pytest.mark.parametrize(
    ("code", "capabilities", "seccomp", "said"),
    [
        (
            errno.EPERM,
            1 << CAP_BPF,
            False,
            "CAP_BPF and CAP_PERFMON, which root hasn't got here (--cap-add BPF --cap-add PERFMON)",
        ),
        (errno.EPERM, 1 << CAP_BPF | 1 << CAP_PERFMON, True, "a seccomp profile refuses bpf"),
        (errno.EPERM, 1 << CAP_SYS_ADMIN, False, "lockdown"),
        (errno.ENOENT, 1 << CAP_SYS_ADMIN, False, "/sys/kernel/btf/vmlinux"),
        (errno.EINVAL, 1 << CAP_SYS_ADMIN, False, "Invalid argument"),
    ],
)
def test_why_they_are_refused(code: int, capabilities: int, seccomp: bool, said: str) -> None:
    rights = Rights(uid=0, capabilities=capabilities, seccomp=seccomp, yama=None, paranoid=2)
    assert said in programs_refused(code, rights)


def test_the_counts_hold_without_the_programs(without_bpf: list[str]) -> None:
    """The tests of counts, strings and threads once more, where only tracepoints and stops are left."""
    tests = [str(Path(__file__).with_name(name)) for name in ("test_counts.py", "test_life.py")]
    chosen = "perf and not killed_recorder and not again_and_again"
    command = [
        *without_bpf,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        chosen,
        *tests,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
