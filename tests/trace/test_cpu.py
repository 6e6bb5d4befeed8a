"""A program that is slow all the time is told why: its threads were ready and had no CPU."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from capture_of_tokens import generate, metadata

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Sched
from llamactl.trace.decode.table import numbers
from llamactl.trace.mechanisms.cpu.cpu_use import CpuVerdict
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
Fill = Callable[[Any], None]

MS = 1_000_000
TOKENS = 40
STEP_MS = 5
END_MS = 20 + int(TOKENS * 8.5) + 20
GROUP = b"/sys/fs/cgroup/kubepods/pod1"
CHILD = b"/sys/fs/cgroup/kubepods/pod1/container"


def thread(out: Any, tid: int, ran: float, waited: float, begin_ms: int = 0) -> None:
    """A thread that is looked at every 5 ms, and each time has run and waited for these shares."""
    for at in range(begin_ms, END_MS, STEP_MS):
        gone = (at - begin_ms) * MS
        args = (int(gone * ran), int(gone * waited), 1)
        out.add(Kind.SCHED, at * 1000, nr=Sched.THREAD, tid=tid, args=args, duration=20_000)


def group(out: Any, name: bytes, share: float, quota: tuple[int, int]) -> None:
    """A control group of which each period is throttled for a share."""
    for at in range(0, END_MS, 10):
        periods = at // 10
        args = (periods if share else 0, int(at * MS * share), periods, 0, *quota)
        out.add(Kind.SCHED, at * 1000, nr=Sched.GROUP, args=args, text=name)


def cpus(out: Any, busy: float, idle: float, count: int = 2, tids: tuple[int, ...] = (1000,)) -> None:
    """The CPUs that the threads may use, and how busy each of them is."""
    names = b"0" if count == 1 else b"0-%d" % (count - 1)
    for tid in tids:
        out.add(Kind.SCHED, 0, nr=Sched.AFFINITY, tid=tid, args=(count, count), text=names)
    for at in range(0, END_MS, 20):
        args = (int(at * MS * busy * count), int(at * MS * idle * count), 0)
        out.add(Kind.SCHED, at * 1000, nr=Sched.MACHINE, args=args, text=names)


def analysed(build: Build, *fills: Fill, **more: Any) -> tuple[TraceReport, dict[Enum, Finding]]:
    def fill(out: Any) -> None:
        generate(out, tokens=TOKENS)
        for one in fills:
            one(out)

    report = analyse(build(fill, **{"cpu_budget": {}, **metadata(**more)}))
    return report, {finding.kind: finding for finding in find(report)}


def test_an_undisturbed_program_has_no_finding(build: Build) -> None:
    report, found = analysed(
        build,
        lambda out: thread(out, 1000, 0.98, 0.01),
        lambda out: cpus(out, 0.5, 0.5),
        lambda out: group(out, GROUP, 0.0, (0, 0)),
    )
    assert found == {}
    assert report.cpu_use is not None
    assert report.cpu_use.verdict is CpuVerdict.OK
    assert report.cpu_use.throttle is None
    assert "1 thread busy at once on 2 CPUs (0-1)" in report_text(report)


def test_what_nobody_looked_at_is_unknown_and_not_ok(build: Build) -> None:
    report, found = analysed(build)
    assert report.cpu_use is None
    assert found == {}
    row = next(line for line in report_text(report).splitlines() if line.startswith(" CPU"))
    assert "unknown" in row
    assert not row.endswith("ok")


def test_a_quota_is_told_with_the_group_that_has_it(build: Build) -> None:
    """The quota is the pod's, the process is in a group below: only the pod's counters move."""
    report, found = analysed(
        build,
        lambda out: thread(out, 1000, 0.2, 0.75),
        lambda out: cpus(out, 0.1, 0.9),
        lambda out: group(out, CHILD, 0.0, (0, 0)),
        lambda out: group(out, GROUP, 0.75, (20_000, 100_000)),
    )
    figures = found[FindingKind.THROTTLED].figures
    assert figures["group"] == GROUP.decode()
    assert figures["nr_throttled"] == figures["nr_periods"] > 10
    assert (figures["quota_us"], figures["period_us"]) == (20_000, 100_000)
    assert figures["waited_share"] == pytest.approx(0.75, abs=0.03)
    assert FindingKind.CPU_STARVED not in found
    assert FindingKind.BINDING_OVERHEAD not in found
    text = finding_text(found[FindingKind.THROTTLED])
    assert "75% of a token's time was spent waiting for a CPU" in text
    assert "a quota of 20 ms in 100 ms (0.2 CPUs)" in text
    assert "larger quota" in text
    assert "THROTTLED" in report_text(report)


def test_neighbours_are_told_apart_from_a_quota_that_cannot_be_seen(build: Build) -> None:
    starved = lambda out: thread(out, 1000, 0.3, 0.65)  # noqa: E731

    def neighbour(out: Any) -> None:
        args = (int(1.5 * END_MS * MS),)
        out.add(
            Kind.SCHED, 0, nr=Sched.NEIGHBOUR, pid=77, args=args, duration=END_MS * MS, text=b"ffm\x1bpeg"
        )

    _, busy = analysed(build, starved, neighbour, lambda out: cpus(out, 1.0, 0.0))
    assert "most of all ffm\\x1bpeg (process 77) 1.5" in finding_text(busy[FindingKind.CPU_STARVED])
    assert busy[FindingKind.CPU_STARVED].figures["why"] == "neighbours"
    assert busy[FindingKind.CPU_STARVED].figures["others_cpus"] == pytest.approx(1.7, abs=0.05)
    assert "other programs used CPU 0-1" in finding_text(busy[FindingKind.CPU_STARVED])
    _, free = analysed(build, starved, lambda out: cpus(out, 0.2, 0.8))
    assert free[FindingKind.CPU_STARVED].figures["why"] == "hidden-quota"
    assert "no quota can be seen from here" in finding_text(free[FindingKind.CPU_STARVED])


def test_too_many_threads_of_its_own(build: Build) -> None:
    tids = tuple(range(1000, 1008))

    def fill(out: Any) -> None:
        for tid in tids:
            thread(out, tid, 0.24, 0.7)
        cpus(out, 0.98, 0.02, tids=tids)

    report, found = analysed(build, fill)
    assert found[FindingKind.CPU_STARVED].figures["why"] == "own-threads"
    assert found[FindingKind.CPU_STARVED].figures["threads"] == 8
    assert "Set n_threads and n_threads_batch to 2" in finding_text(found[FindingKind.CPU_STARVED])
    assert "CROWDED" in report_text(report)


def test_several_processes_that_are_too_many_together(build: Build) -> None:
    """Each has as many threads as there are CPUs; what helps is fewer processes, or fewer threads in each."""
    tids = tuple((pid, pid + number) for pid in (1000, 1100, 1200) for number in range(2))

    def fill(out: Any) -> None:
        for pid, tid in tids:
            for at in range(0, END_MS, STEP_MS):
                args = (int(at * MS * 0.32), int(at * MS * 0.6), 1)
                out.add(Kind.SCHED, at * 1000, nr=Sched.THREAD, pid=pid, tid=tid, args=args)
            out.add(Kind.SCHED, 0, nr=Sched.AFFINITY, pid=pid, tid=tid, args=(2, 2), text=b"0-1")
        cpus(out, 1.0, 0.0, tids=())

    report = analyse(build(fill, cpu_budget={}))
    finding = next(one for one in find(report) if one.kind is FindingKind.CPU_STARVED)
    assert (finding.figures["why"], finding.figures["processes"]) == ("own-threads", 3)
    assert "of each process to 1, and let no more than 2 compute at once" in finding_text(finding)


def test_a_prompt_that_waits_is_told_as_a_token_is(build: Build) -> None:
    """Only the prompt is held up: the tokens had their CPU."""

    def fill(out: Any) -> None:
        args = ((0, 0), (100 * MS, 0), (150 * MS, 950 * MS), (200 * MS, 950 * MS))
        for at, values in zip((0, 500, 1500, 1600), args, strict=True):
            out.add(Kind.SCHED, at * 1000, nr=Sched.THREAD, args=(*values, 1))
        out.add(Kind.CALL, 500_000, nr=0, args=(1, 100, 0), duration=1000 * MS)
        out.add(Kind.SCHED, 0, nr=Sched.AFFINITY, args=(2, 2), text=b"0-1")
        for at, busy in ((0, 0), (2000, 4000)):
            out.add(Kind.SCHED, at * 1000, nr=Sched.MACHINE, args=(busy * MS, 0, 0), text=b"0-1")

    _, found = analysed(build, fill)
    figures = found[FindingKind.CPU_STARVED].figures
    assert figures["what"] == "prefill"
    assert figures["waited_share"] == pytest.approx(0.94, abs=0.03)
    assert "of the prompt's time" in finding_text(found[FindingKind.CPU_STARVED])


def test_a_child_that_computes_is_looked_at(build: Build) -> None:
    """The first process only waits for its child; no call of llama.cpp was caught in either."""

    def fill(out: Any) -> None:
        thread(out, 1000, 0.0, 0.0)
        for at in range(0, END_MS, STEP_MS):
            gone = at * MS
            args = (int(gone * 0.2), int(gone * 0.8), 1)
            out.add(Kind.SCHED, at * 1000, nr=Sched.THREAD, pid=1100, tid=1100, args=args)
        cpus(out, 1.0, 0.0)

    report = analyse(build(fill, cpu_budget={}))
    finding = next(one for one in find(report) if one.kind is FindingKind.CPU_STARVED)
    assert finding.figures["what"] == "all"
    assert finding.figures["waited_share"] == pytest.approx(0.8, abs=0.03)


def pinned(out: Any) -> None:
    """Two threads that compute on one CPU."""
    for tid in (1000, 1001):
        thread(out, tid, 0.48, 0.5)
    cpus(out, 1.0, 0.0, count=1, tids=(1000, 1001))


START = {"threads": 2, "affinity_cpus": 2, "limited_by": "cores"}


def test_threads_that_are_pinned_later_are_over_the_budget_of_then(build: Build) -> None:
    def call(out: Any) -> None:
        number = numbers(0)["sched_setaffinity"]
        out.add(Kind.SYSCALL, 500, nr=number, args=(0, 128, 0x1000), ret=0, duration=1000)

    _, found = analysed(build, pinned, call, cpu_budget=START)
    figures = found[FindingKind.THREADS_OVER_BUDGET].figures
    assert (figures["threads"], figures["budget_threads"], figures["limited_by"]) == (2, 1, "affinity")
    assert (figures["pinned_by"], figures["calls"], figures["tid"]) == ("call", 1, 1000)
    text = finding_text(found[FindingKind.THREADS_OVER_BUDGET])
    assert "pinned to CPU 0 by sched_setaffinity in process 1000" in text
    assert "set n_threads and n_threads_batch to 1" in text


def test_an_environment_that_pins_is_named(build: Build) -> None:
    _, found = analysed(build, pinned, cpu_budget=START, thread_placement={"GOMP_CPU_AFFINITY": "0"})
    figures = found[FindingKind.THREADS_OVER_BUDGET].figures
    assert figures["pinned_by"] == "environment"
    assert "by GOMP_CPU_AFFINITY=0" in finding_text(found[FindingKind.THREADS_OVER_BUDGET])


def test_as_many_cpus_as_threads_are_enough_however_they_are_pinned(build: Build) -> None:
    """OMP_PROC_BIND gives each thread a CPU of its own: each has one, together they have two."""

    def fill(out: Any) -> None:
        for tid, cpu in ((1000, b"0"), (1001, b"1")):
            thread(out, tid, 0.98, 0.01)
            out.add(Kind.SCHED, 0, nr=Sched.AFFINITY, tid=tid, args=(1, 1), text=cpu)

    report, found = analysed(build, fill, cpu_budget=START, thread_placement={"OMP_PROC_BIND": "true"})
    assert report.cpu_use is not None
    assert report.cpu_use.cpus == 2
    assert found == {}


def test_a_thread_that_still_waits_at_the_end_has_waited(build: Build) -> None:
    """The kernel counts a wait when it ends: this one hasn't by the end of the recording."""

    def fill(out: Any) -> None:
        out.add(Kind.SCHED, 0, nr=Sched.THREAD, args=(5 * MS, 0, 1))
        out.add(Kind.SCHED, 10_000, nr=Sched.THREAD, args=(10 * MS, 0, 2))
        out.add(Kind.SCHED, 20_000, nr=Sched.THREAD, args=(10 * MS, 0, 2, ord("R")))
        out.add(Kind.SCHED, 920_000, nr=Sched.THREAD, args=(10 * MS, 0, 2))
        out.add(Kind.SCHED, 0, nr=Sched.AFFINITY, args=(1, 1), text=b"0")
        for at, busy in ((0, 0), (1000, 1000)):
            out.add(Kind.SCHED, at * 1000, nr=Sched.MACHINE, args=(busy * MS, 0, 0), text=b"0")

    report = analyse(build(fill, cpu_budget={}))
    assert report.cpu_use is not None
    assert report.cpu_use.waited_ns == pytest.approx(900 * MS)
    assert report.cpu_use.verdict is CpuVerdict.NEIGHBOURS


def test_a_thread_that_sleeps_at_the_end_has_not_waited(build: Build) -> None:
    def fill(out: Any) -> None:
        for at, state in ((0, 0), (20, ord("S")), (920, 0)):
            out.add(Kind.SCHED, at * 1000, nr=Sched.THREAD, args=(10 * MS, 0, 2, state))

    report = analyse(build(fill, cpu_budget={}))
    assert report.cpu_use is not None
    assert report.cpu_use.verdict is CpuVerdict.OK
