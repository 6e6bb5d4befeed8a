"""The ledger of mappings, and the faults on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
AT = 0x7F0000000000
PAGE = 4096
ANONYMOUS = (3, 0x22, -1, 0)


def spans(report: TraceReport) -> list[tuple[int, int, bool]]:
    """Return (first page, pages, whether it lives) of each mapping, by address."""
    rows = [
        ((row.start - AT) // PAGE, row.length_bytes // PAGE, row.life_s is None) for row in report.mappings
    ]
    return sorted(rows)


def test_a_hole_in_the_middle_splits(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, 10 * PAGE, *ANONYMOUS, ret=AT)
        out.call("munmap", 20, AT + 4 * PAGE, 2 * PAGE - 100)

    assert spans(analyse(build(fill))) == [(0, 4, True), (6, 4, True)]


def test_both_ends_can_be_cut_off(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, 10 * PAGE, *ANONYMOUS, ret=AT)
        out.call("munmap", 20, AT, 2 * PAGE)
        out.call("munmap", 40, AT + 9 * PAGE, PAGE)

    assert spans(analyse(build(fill))) == [(2, 7, True)]


def test_a_fixed_mapping_replaces_what_was_there(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, 4 * PAGE, *ANONYMOUS, ret=AT)
        out.call("mmap", 20, AT, 4 * PAGE, *ANONYMOUS, ret=AT)

    assert spans(analyse(build(fill))) == [(0, 4, False), (0, 4, True)]


def test_mremap_moves(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, 4 * PAGE, *ANONYMOUS, ret=AT)
        out.call("mremap", 20, AT, 4 * PAGE, 8 * PAGE, 1, ret=AT + 100 * PAGE)

    assert spans(analyse(build(fill))) == [(100, 8, True)]


def test_exec_ends_all_mappings_but_none_of_those_after_it(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, PAGE, *ANONYMOUS, ret=AT)
        out.add(Kind.TASK, 50, nr=Task.EXEC, text=b"new")
        out.call("mmap", 60, 0, PAGE, *ANONYMOUS, ret=AT)

    report = analyse(build(fill))
    assert spans(report) == [(0, 1, False), (0, 1, True)]
    assert all(row.life_s is None or row.life_s > 0 for row in report.mappings)


def test_rights_advice_and_locks_are_noted(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("mmap", 0, 0, 4 * PAGE, *ANONYMOUS, ret=AT)
        out.call("mprotect", 20, AT + PAGE, PAGE, 1)
        out.call("madvise", 40, AT, 4 * PAGE, 14)
        out.call("mlock", 60, AT, 4 * PAGE)

    (row,) = analyse(build(fill)).mappings
    assert (row.protection, row.advice, row.locked) == ("rw->r--", ("MADV_HUGEPAGE",), True)


def test_the_kernel_s_own_report_of_a_call_s_mapping_isn_t_a_second_one(build: Build) -> None:
    """Perf reports a mapping while the call that makes it runs; anonymous memory joined with its neighbour."""

    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/m.gguf", ret=3)
        out.add(Kind.MAP, 25, nr=1, args=(AT, 8 * PAGE, 0, 77), text=b"/m.gguf")
        out.call("mmap", 20, 0, 8 * PAGE, 1, 1, 3, 0, ret=AT, took_us=100)
        out.add(Kind.MAP, 205, nr=3, args=(AT + 20 * PAGE, 9 * PAGE, 0, 0), text=b"//anon")
        out.call("mmap", 200, 0, 4 * PAGE, *ANONYMOUS, ret=AT + 25 * PAGE)

    assert spans(analyse(build(fill))) == [(0, 8, True), (25, 4, True)]


def test_faults_go_to_the_mapping_of_their_time(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/m.gguf", ret=3)
        out.call("mmap", 20, 0, 8 * PAGE, 1, 1, 3, 0, ret=AT)
        for page in range(6):
            out.add(Kind.FAULT, 40 + page, nr=int(page == 3), args=(AT + page * PAGE + 5,))
        out.call("munmap", 60, AT, 8 * PAGE)
        out.call("mmap", 80, 0, 8 * PAGE, *ANONYMOUS, ret=AT)
        out.add(Kind.FAULT, 100, args=(AT,))
        out.add(Kind.FAULT, 101, args=(0x5000,))

    def tensors(_: bytes) -> list[tuple[int, int, str]]:
        return [(2 * PAGE, PAGE, "blk.0.a"), (3 * PAGE, PAGE, "blk.0.b"), (4 * PAGE, 4 * PAGE, "output")]

    report = analyse(build(fill), tensors=tensors)
    by_role = {row.name: (row.minor_faults, row.major_faults) for row in report.faults}
    assert by_role == {
        "weights": (5, 1),
        "anonymous": (1, 0),
        "in no mapping that was seen being made": (1, 0),
    }
    found = {row.name: (row.minor_faults, row.major_faults) for row in report.tensors}
    assert found == {"blk.0.a": (1, 0), "blk.0.b": (0, 1), "output": (2, 0)}
    assert {row.name: row.count for row in report.layers} == {"blk.0": 2, "output": 2}
