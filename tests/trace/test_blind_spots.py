"""What a recording can't count is said where the figure stands, and never judged ok."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.tables import chosen_tables, table_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.decode.table import numbers
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
MODEL = b"/m/tiny.gguf"
MIB = 1 << 20


def row(report: TraceReport, name: str) -> tuple[str, str]:
    """Return the text and the verdict of a row of the report."""
    found = next(row for row in mechanisms(report) if row.name == name)
    return " ".join(found.lines), found.verdict


def opened(out: Any, path: bytes = MODEL, fd: int = 4, at: int = 10) -> None:
    out.call("openat", at, 0, 0, 0, text=path, ret=fd)


def test_a_model_read_through_io_uring(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("io_uring_setup", 0, 8, 0, ret=3)
        opened(out)
        out.call("read", 25, 4, 0, 4096, ret=4096)
        out.call("io_uring_enter", 50, 3, 1, 1, 1, ret=1)
        opened(out, b"/etc/passwd", 5, at=70)

    report = analyse(build(fill))
    assert row(report, "Mapping") == (
        "tiny.gguf 4 KiB, unknown (through io_uring, bytes not seen)",
        "UNKNOWN",
    )
    text, verdict = row(report, "Files")
    assert ("through io_uring: 2 calls, files and bytes not seen" in text, verdict) == (True, "UNKNOWN")
    table = table_text(report, chosen_tables("files")[0])
    assert ["not seen" in line for line in table.splitlines() if "passwd" in line] == [True]


def test_another_process_s_io_uring_changes_nothing(build: Build) -> None:
    def fill(out: Any) -> None:
        out.add(Kind.TASK, 0, nr=Task.FORK, args=(2000, 2000))
        out.call("io_uring_setup", 5, 8, 0, ret=3, pid=2000, tid=2000)
        opened(out)
        out.call("read", 25, 4, 0, MIB, ret=MIB)

    report = analyse(build(fill))
    assert row(report, "Mapping") == ("tiny.gguf 1 MiB, read (read through the page cache)", "ok")


def test_with_io_uring_the_page_cache_s_share_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("io_uring_enter", 5, 3, 1, 1, 1, ret=1)
        for at in (0, 100):
            out.add(Kind.COUNTER, at, nr=1, ret=at)

    assert analyse(build(fill)).disk[-1].read_bytes is None


def test_bytes_that_the_kernel_moves_between_descriptors_count_on_both_sides(build: Build) -> None:
    def fill(out: Any) -> None:
        opened(out)
        opened(out, b"/data/copy", 5, at=30)
        out.call("sendfile", 50, 5, 4, 0, MIB, ret=MIB)
        out.call("copy_file_range", 70, 4, 0, 5, 0, 2 * MIB, 0, ret=2 * MIB)
        out.call("splice", 90, 4, 0, 5, 0, 4 * MIB, 0, ret=4 * MIB)

    rows = {row.name: row for row in analyse(build(fill)).files}
    assert (rows[MODEL].read_bytes, rows[MODEL].written_bytes) == (7 * MIB, 0)
    assert (rows[b"/data/copy"].read_bytes, rows[b"/data/copy"].written_bytes) == (0, 7 * MIB)


def test_a_descriptor_that_came_from_elsewhere(build: Build) -> None:
    text, verdict = row(analyse(build(lambda out: out.call("read", 10, 77, 0, 500, ret=500))), "Files")
    assert "500 B read through descriptors that were inherited or received" in text
    assert verdict == "UNKNOWN"


def test_vmsplice_moves_bytes_that_nobody_counts(build: Build) -> None:
    text, verdict = row(analyse(build(lambda out: out.call("vmsplice", 10, 4, 0, 1, 0, ret=4096))), "Files")
    assert ("by vmsplice: 1 call" in text, verdict) == (True, "UNKNOWN")


def test_a_file_that_is_written_through_a_mapping(build: Build) -> None:
    def fill(out: Any) -> None:
        for fd, path in enumerate(
            (b"/data/store.db", b"/dev/shm/sem.x", b"/m/read.gguf", b"/m/private.so"), 4
        ):
            prot, flags = (1, 1) if fd == 6 else (3, 2) if fd == 7 else (3, 1)
            opened(out, path, fd, at=100 * fd)
            out.call("mmap", 100 * fd + 50, 0, MIB, prot, flags, fd, 0, ret=0x7F0000000000 + fd * (1 << 30))

    text, verdict = row(analyse(build(fill)), "Files")
    assert ("through mappings of 1 file: bytes written not counted" in text, verdict) == (True, "UNKNOWN")


def test_what_a_filter_left_out_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("read", 10, 4, 0, 500, ret=500)

    report = analyse(build(fill, selection=[numbers(0)["read"]]))
    text, verdict = row(report, "Files")
    assert text.startswith("unknown opened, unknown read, unknown written")
    assert verdict == "UNKNOWN"
    assert row(report, "Mapping") == ("unknown: mmap wasn't recorded (-e)", "UNKNOWN")
    assert row(report, "GPU") == ("unknown: opening files wasn't recorded (-e)", "UNKNOWN")


def test_a_model_of_which_only_the_opening_was_recorded(build: Build) -> None:
    report = analyse(build(opened, selection=[numbers(0)["openat"]]))
    assert row(report, "Mapping") == (
        "tiny.gguf, unknown (opened; read and mmap weren't recorded (-e))",
        "UNKNOWN",
    )


def test_everything_recorded_is_ok(build: Build) -> None:
    def fill(out: Any) -> None:
        opened(out)
        out.call("read", 25, 4, 0, 500, ret=500)

    assert row(analyse(build(fill)), "Files") == ("1 opened, 500 B read, 0 B written", "ok")


def test_a_file_mapped_by_two_processes_is_as_large_as_it_is(build: Build) -> None:
    def fill(out: Any) -> None:
        opened(out)
        out.add(Kind.TASK, 30, nr=Task.FORK, args=(2000, 2000))
        for number, pid in enumerate((1000, 2000, 2000)):
            start = 0x7F0000000000 + number * (1 << 30)
            at = 100 + 50 * number
            out.call("mmap", at, 0, 94 * MIB, 1, 1, 4, 0, ret=start, pid=pid, tid=pid)
            out.call("munmap", at + 20, start, MIB, ret=0, pid=pid, tid=pid)

    report = analyse(build(fill))
    (load,) = report.load
    assert (load.mapped_bytes, load.processes) == (94 * MIB, 2)
    assert {file.mapped_bytes for file in report.files if file.name == MODEL} == {94 * MIB}
    text, _ = row(report, "Mapping")
    assert "tiny.gguf 94 MiB, mmap" in text
    assert "mapped by 2 processes, which share its pages" in text


def test_calls_that_could_not_be_caught_are_unknown_and_not_none(build: Build) -> None:
    why = "calls can't be caught: uprobes can't be defined"
    report = analyse(build(opened, attached=True, calls_refused=why))
    for name in ("Interface", "GIL"):
        assert row(report, name) == (f"unknown: {why}", "UNKNOWN")
    assert row(report, "Buffers") == ("calls weren't recorded", "UNKNOWN")


def test_calls_that_nobody_asked_for(build: Build) -> None:
    report = analyse(build(opened, attached=True, calls_asked=False))
    assert {row(report, name) for name in ("Interface", "GIL", "Buffers")} == {
        ("calls weren't recorded", "–")
    }


def test_an_engine_that_is_loaded_where_calls_could_not_be_caught(build: Build) -> None:
    engine = {
        "pid": 1000, "process": "python", "path": "/l/libllama.so", "kind": "libllama", "holds": "llama.cpp",
        "exported": True, "agent": False, "without": "",
    }  # fmt: skip
    report = analyse(build(opened, attached=True, calls_refused="no rights", engines=[engine]))
    text, verdict = row(report, "Interface")
    assert "calls weren't caught: no rights" in text
    assert verdict == "UNKNOWN"
