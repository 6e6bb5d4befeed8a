"""A program under a CPU quota is told so, with the group that has it: the kernel's own counters are the truth."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recording import PROGRAMS, Recorded, read, recorded
from support import control_group

from llamactl.process.cpu_quota import Throttling, parse_cpu_stat
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.cpu.cpu_time import ALL
from llamactl.trace.mechanisms.cpu.cpu_use import CpuVerdict
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions

PINNED = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
end = time.process_time() + 0.3
while time.process_time() < end:
    for _ in range(20_000):
        pass
"""
SPINS = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print("ready", flush=True)
while True:
    pass
"""

BURN = [sys.executable, str(PROGRAMS / "burn_cpu.py")]
QUOTA_US, PERIOD_US = 1_000, 100_000
"""So little that nothing else on the machine could take as much away."""
BURNT_MS = 12


@contextmanager
def limited() -> Iterator[tuple[Path, Path]]:
    """A group with a hundredth of a CPU, and one below it without a quota of its own."""
    with control_group() as group:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{QUOTA_US} {PERIOD_US}", encoding="ascii")
        else:
            (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US), encoding="ascii")
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US), encoding="ascii")
        inner = group / "inner"
        inner.mkdir()
        try:
            yield group, inner
        finally:
            inner.rmdir()


def truth(group: Path) -> Throttling:
    """What the kernel counted in a group that was just made."""
    found = parse_cpu_stat((group / "cpu.stat").read_bytes())
    assert found is not None
    return found


def seen_in_time(done: Recorded) -> bool:
    """Whether the program was looked at while it was throttled."""
    use = analyse(done.capture).cpu_use
    return use is not None and use.throttle is not None and use.throttle.throttled_periods > 3


def check(done: Recorded, group: Path) -> None:
    report = analyse(done.capture)
    use = report.cpu_use
    assert use is not None
    assert use.verdict is CpuVerdict.QUOTA
    assert use.throttle is not None
    assert use.throttle.group == str(group)
    assert (use.throttle.quota_us, use.throttle.period_us) == (QUOTA_US, PERIOD_US)
    counted = truth(group)
    assert 0 < use.throttle.throttled_periods <= counted.throttled_periods
    assert use.throttle.throttled_ns <= counted.throttled_ns
    assert use.throttle.throttled_ns >= counted.throttled_ns / 4
    every = next(row for row in report.cpu if row.name == ALL)
    assert every.ran_ns > BURNT_MS * 1_000_000 / 2
    assert every.waited_ns > every.ran_ns
    assert [one.figures["group"] for one in find(report) if one.kind is FindingKind.THROTTLED] == [str(group)]


@pytest.mark.parametrize("who", ["self", "child"])
def test_of_a_program_that_is_started(tmp_path: Path, who: str) -> None:
    for last in (
        False,
        False,
        True,
    ):  # On a busy machine the looks may come too late for a program of a second.
        with limited() as (group, inner):
            done = recorded(tmp_path / "a.capture", [*BURN, str(inner), str(BURNT_MS), who], "ptrace")
            assert done.result.exit_code == 0
            if last or seen_in_time(done):
                check(done, group)
                return


def test_of_a_program_that_runs_already(tmp_path: Path) -> None:
    with limited() as (group, inner):
        argv = [*BURN, str(inner), str(BURNT_MS), "attach"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            path, begun = tmp_path / "a.capture", threading.Event()

            def go(_: object) -> None:
                if not begun.is_set():  # The first word of progress: the recording has begun.
                    begun.set()
                    process.stdin.write("\n")  # type: ignore[union-attr]
                    process.stdin.flush()  # type: ignore[union-attr]

            result = record(process.pid, SessionOptions(engine="ptrace"), CaptureWriter(path), go)
            assert result.ended == "exit"
        check(read(path, result), group)


def test_neighbours_on_the_same_cpu_are_named(tmp_path: Path) -> None:
    spinning = [
        subprocess.Popen([sys.executable, "-c", SPINS], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    try:
        for process in spinning:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        done = recorded(tmp_path / "a.capture", [sys.executable, "-c", PINNED], "ptrace")
    finally:
        for process in spinning:
            process.kill()
            process.communicate()
    report = analyse(done.capture)
    use = report.cpu_use
    assert use is not None
    assert use.verdict is CpuVerdict.NEIGHBOURS
    assert use.cpus == 1
    assert use.waited_share > 0.2
    assert {one.pid for one in use.neighbours} & {process.pid for process in spinning}
    assert use.others_cpus is not None and use.others_cpus > 0.2
    assert [pin.tid for pin in report.pins] == [done.result.pid], "and who pinned it"
