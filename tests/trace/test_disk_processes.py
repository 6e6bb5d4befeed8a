"""What several processes fetched from the disk: each byte once, at whoever fetched it, and nothing claimed unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.disk.disk import Bounds, DiskRow, DiskVerdict, judge
from llamactl.trace.mechanisms.memory.counter_steps import Life, Steps, counter_steps
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
MIB = 1 << 20
SHELL, CHILD, GRANDCHILD = 1, 2, 3


def samples(*pairs: tuple[int, int]) -> tuple[Any, Any]:
    moments, values = zip(*pairs, strict=True)
    return np.array(moments), np.array(values)


def total(steps: Steps) -> int:
    return int(steps.gain.sum())


def blind(steps: Steps) -> list[tuple[int, int]]:
    return list(zip(*(column.tolist() for column in steps.blind), strict=True))


def test_what_a_parent_took_over_from_a_child_counts_once() -> None:
    lives = {SHELL: Life(None, 0, 100), CHILD: Life(SHELL, 10, 75)}
    series = {
        SHELL: samples((20, 0), (40, 0), (60, 0), (80, 50), (100, 50)),
        CHILD: samples((20, 10), (40, 25), (60, 40)),
    }
    steps = counter_steps(series, lives, inherited=True)
    assert total(steps) == 50
    # 10 that the child read after its last sample are in its parent's step.
    assert steps.by_process() == {SHELL: 10, CHILD: 40}
    assert blind(steps) == []


def test_a_child_too_short_for_a_sample_is_in_its_parent_s_count() -> None:
    lives = {SHELL: Life(None, 0, 100), CHILD: Life(SHELL, 41, 55)}
    steps = counter_steps({SHELL: samples((40, 0), (60, 50), (100, 50))}, lives, inherited=True)
    assert (total(steps), blind(steps)) == (50, [])


def test_what_passed_through_a_parent_that_ended_is_the_grandparent_s() -> None:
    lives = {
        SHELL: Life(None, 0, 100),
        CHILD: Life(SHELL, 10, 75),
        GRANDCHILD: Life(CHILD, 15, 70),
    }
    series = {
        SHELL: samples((20, 0), (60, 0), (80, 90), (100, 90)),
        CHILD: samples((20, 5), (60, 10)),
        GRANDCHILD: samples((20, 0), (60, 60)),
    }
    steps = counter_steps(series, lives, inherited=True)
    assert total(steps) == 90
    assert steps.by_process() == {SHELL: 20, CHILD: 10, GRANDCHILD: 60}
    assert blind(steps) == []


def test_a_process_that_was_left_to_init_is_unknown_after_its_last_sample() -> None:
    lives = {SHELL: Life(None, 0, 30), CHILD: Life(SHELL, 10, 75)}
    series = {SHELL: samples((20, 0), (100, 7)), CHILD: samples((20, 10), (60, 40))}
    steps = counter_steps(series, lives, inherited=True)
    assert steps.by_process() == {SHELL: 7, CHILD: 40}
    assert blind(steps) == [(60, 75)]


def test_a_parent_that_ignores_its_children_s_ends_takes_nothing_over() -> None:
    lives = {SHELL: Life(None, 0, 100), CHILD: Life(SHELL, 10, 75)}
    series = {SHELL: samples((60, 0), (80, 3), (100, 3)), CHILD: samples((60, 40))}
    assert total(counter_steps(series, lives, inherited=True)) == 43


def test_page_tables_are_not_inherited() -> None:
    lives = {SHELL: Life(None, 0, 100), CHILD: Life(SHELL, 10, 75)}
    series = {SHELL: samples((60, 5), (100, 9)), CHILD: samples((60, 40))}
    steps = counter_steps(series, lives, inherited=False)
    assert (total(steps), blind(steps)) == (49, [(60, 75)])


def test_a_process_that_nobody_could_look_at_is_unknown() -> None:
    lives = {SHELL: Life(None, 0, None), CHILD: Life(SHELL, 10, None)}
    steps = counter_steps({SHELL: samples((60, 5))}, lives, inherited=True)
    assert (10, np.iinfo(np.int64).max) in blind(steps)


def test_the_report_counts_the_child_of_a_shell(build: Build) -> None:
    def fill(out: Any) -> None:
        out.add(Kind.TASK, 1000, nr=Task.FORK, args=(2000, 2000))
        out.add(Kind.TASK, 2000, pid=2000, tid=2000, nr=Task.EXEC, text=b"/usr/bin/python3")
        for at, disk in ((10_000, 0), (20_000, 90 * MIB)):
            out.add(Kind.COUNTER, at, nr=1, ret=0)
            out.add(Kind.COUNTER, at, nr=0, ret=MIB)
            out.add(Kind.COUNTER, at, pid=2000, tid=2000, nr=1, ret=disk)
            out.add(Kind.COUNTER, at, pid=2000, tid=2000, nr=0, ret=50 * MIB)
        out.add(Kind.TASK, 25_000, pid=2000, tid=2000, nr=Task.EXIT)
        out.add(Kind.TASK, 30_000, nr=Task.EXIT)

    report = analyse(build(fill, attached=False, pid=1000, disk_read_bytes=94 * MIB))
    (everything,) = report.disk
    assert everything.disk == Bounds(94 * MIB, 94 * MIB)
    assert everything.mapped == Bounds(None, None)
    by_pid = {row.pid: row for row in report.processes}
    assert (by_pid[1000].from_disk_bytes, by_pid[2000].from_disk_bytes) == (4 * MIB, 90 * MIB)
    assert by_pid[2000].largest_rss_bytes == 50 * MIB
    assert {(row.name, row.pid, row.last) for row in report.counters} == {
        ("read_bytes", 1000, 0), ("read_bytes", 2000, 90 * MIB), ("rss_bytes", 1000, MIB), ("rss_bytes", 2000, 50 * MIB)
    }  # fmt: skip


def test_memory_grows_in_the_process_that_answers(build: Build) -> None:
    def fill(out: Any) -> None:
        out.add(Kind.TASK, 1, nr=Task.FORK, args=(2000, 2000))
        for request in range(8):
            at = 1000 + request * 100_000
            out.add(Kind.COUNTER, at, nr=0, ret=MIB)
            out.add(Kind.COUNTER, at, pid=2000, tid=2000, nr=0, ret=(100 + request) * MIB)
            out.phase("prefill", at + 100, 5000)

    growth = analyse(build(fill)).memory_growth
    assert growth is not None
    assert (growth.pid, growth.per_request_bytes) == (2000, MIB)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ({"generate": Bounds(0, 0), "all": Bounds(90 * MIB, 90 * MIB)}, DiskVerdict.NOTHING),
        ({"generate": Bounds(0, None), "all": Bounds(0, 0)}, DiskVerdict.NOTHING),
        ({"prompt": Bounds(MIB, None), "all": Bounds(MIB, None)}, DiskVerdict.READS),
        ({"generate": Bounds(0, None), "all": Bounds(0, None)}, DiskVerdict.UNKNOWN),
        ({"generate": Bounds(0, 9 * MIB), "all": Bounds(9 * MIB, 9 * MIB)}, DiskVerdict.UNKNOWN),
        ({"all": Bounds(0, None)}, DiskVerdict.UNKNOWN),
        ({"all": Bounds(None, None)}, DiskVerdict.UNKNOWN),
        ({"all": Bounds(9 * MIB, 9 * MIB)}, DiskVerdict.NOT_JUDGED),
        ({"all": Bounds(0, 0)}, DiskVerdict.NOTHING),
    ],
)
def test_unknown_is_never_nothing(rows: dict[str, Bounds], verdict: DiskVerdict) -> None:
    unknown = Bounds()
    assert judge([DiskRow(name, 1, disk, None, unknown, unknown) for name, disk in rows.items()]) is verdict


def test_a_program_of_which_there_is_no_sample_but_its_end(build: Build) -> None:
    report = analyse(
        build(lambda out: out.call("close", 10, 4), attached=False, pid=1000, disk_read_bytes=MIB)
    )
    assert report.disk[-1].disk == Bounds(MIB, MIB)
