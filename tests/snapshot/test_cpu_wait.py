"""Waits for a CPU between two moments: figures made for the test, and a process under a real quota."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from support import control_group

from llamactl.process.cpu_quota import Throttling
from llamactl.process.cpu_wait import CpuMoment, cpu_moment, waits_between

BURN = Path(__file__).parents[1] / "programs" / "burn_cpu.py"
SECOND = 1_000_000_000


def test_the_thread_that_waited_longest_counts_and_a_new_one_from_its_beginning() -> None:
    before = CpuMoment(0, {1: 5 * SECOND}, {})
    after = CpuMoment(10 * SECOND, {1: 6 * SECOND, 2: 9 * SECOND}, {})
    waits = waits_between(before, after)
    assert waits is not None
    assert (waits.waited_ns, waits.waited_share, waits.notable) == (9 * SECOND, 0.9, True)
    assert waits.group is None


def test_the_group_is_the_one_whose_counters_moved() -> None:
    still, old = Throttling(7, 70, 100), Throttling(1, 10, 2)
    before = CpuMoment(0, {1: 0}, {"/g": old, "/g/inner": still})
    after = CpuMoment(SECOND, {1: SECOND // 2}, {"/g": Throttling(9, 900, 12), "/g/inner": still})
    waits = waits_between(before, after)
    assert waits is not None
    assert (waits.group, waits.throttled_periods, waits.periods, waits.throttled_ns) == ("/g", 8, 10, 890)


def test_a_little_waiting_is_not_worth_a_word() -> None:
    waits = waits_between(CpuMoment(0, {1: 0}, {}), CpuMoment(SECOND, {1: SECOND // 10}, {}))
    assert waits is not None
    assert not waits.notable


def test_what_is_not_counted_is_unknown() -> None:
    assert waits_between(None, CpuMoment(0, {1: 0}, {})) is None
    assert cpu_moment(2**22 + 1) is None


def test_under_a_quota() -> None:
    with control_group() as group:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("5000 100000", encoding="ascii")
        else:
            (group / "cpu.cfs_quota_us").write_text("5000", encoding="ascii")
        argv = [sys.executable, str(BURN), str(group), "10000", "attach"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                process.stdin.write("\n")
                process.stdin.flush()
                until = time.monotonic() + 60
                while str(group) not in (before := cpu_moment(process.pid)).groups:  # type: ignore[union-attr]
                    assert time.monotonic() < until
                    time.sleep(0.01)
                while True:
                    waits = waits_between(before, cpu_moment(process.pid))
                    assert waits is not None
                    if waits.throttled_periods >= 5 and waits.notable:
                        break
                    assert time.monotonic() < until, waits
                    time.sleep(0.05)
            finally:
                process.kill()
        assert waits.group == str(group)
        assert waits.quota_us == 5000
