"""Waits for a CPU, against the clocks."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from llamactl.bench.measure.run_delay import RunDelay, Stopwatch

BURN = "import os\nos.write(1, b'.')\nwhile os.getppid() == {parent}: pass"


@pytest.fixture
def account() -> Iterator[RunDelay]:
    made = RunDelay()
    if not made.available:
        pytest.skip("this kernel keeps no schedstat")
    yield made
    made.close()


@contextmanager
def on_one_cpu_with_another() -> Iterator[None]:
    """Share one CPU with a program that never stops."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    other = subprocess.Popen([sys.executable, "-c", BURN.format(parent=os.getpid())], stdout=subprocess.PIPE)
    try:
        assert other.stdout
        assert other.stdout.read(1) == b"."
        yield
    finally:
        other.kill()
        other.communicate()
        os.sched_setaffinity(0, before)


def test_what_another_program_takes_is_told(account: RunDelay) -> None:
    watch = Stopwatch(account)
    with on_one_cpu_with_another():
        cpu = time.thread_time_ns()
        watch.start()
        while time.thread_time_ns() - cpu < 200_000_000:
            pass
        wall, found = watch.stop()
        cpu = time.thread_time_ns() - cpu
    assert found is not None
    # Never more than was lost; and most of it. A hypervisor may have taken the rest.
    assert 0.5 * (wall - cpu) < found <= wall - cpu + 1_000_000
    assert found > 50_000_000


def test_sleep_is_no_wait(account: RunDelay) -> None:
    watch = Stopwatch(account)
    watch.start()
    select.select([], [], [], 0.2)
    wall, found = watch.stop()
    assert found is not None and found <= wall - 199_000_000


def test_after_closing_nothing_is_known() -> None:
    account = RunDelay()
    account.close()
    account.close()
    watch = Stopwatch(account)
    watch.start()
    wall, found = watch.stop()
    assert wall > 0 and found is None
