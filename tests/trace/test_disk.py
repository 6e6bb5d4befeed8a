"""Disk against page cache: what samples and calls prove, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llamactl.render.trace.text import bounds_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.disk.disk import UNKNOWN, Bounds, DiskRow
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
DISK, MAPPED = 1, 2
MIB = 1 << 20


def rows(capture: Capture) -> dict[str, DiskRow]:
    return {row.name: row for row in analyse(capture).disk}


def sample(out: Any, at_us: int, disk: int | None = None, mapped: int | None = None) -> None:
    for number, value in ((DISK, disk), (MAPPED, mapped)):
        if value is not None:
            out.add(Kind.COUNTER, at_us, nr=number, ret=value)


def test_the_committed_capture(load_capture: Capture) -> None:
    found = rows(load_capture)
    assert list(found) == ["load", "prompt", "generate", "all"]
    assert found["load"].disk == Bounds(8 * MIB, 8 * MIB)
    assert found["load"].mapped == Bounds(9 * MIB, 9 * MIB)
    assert found["load"].read_bytes == 4096
    assert found["load"].cache == Bounds(MIB + 4096, MIB + 4096)
    assert found["generate"].disk == Bounds(0, 0)
    assert found["generate"].cache == Bounds(0, 8192)  # The last step ends after the last token.
    assert found["all"].cache.most is None  # The program ran on after the last sample.


def test_a_step_that_lies_half_in_a_phase_gives_a_range(build: Build) -> None:
    def fill(out: Any) -> None:
        out.phase("load", 10_000, 20_000)
        out.phase("prefill", 30_000, 10_000)
        for at, disk in ((5_000, 0), (12_000, MIB), (25_000, 5 * MIB), (35_000, 6 * MIB), (45_000, 6 * MIB)):
            sample(out, at, disk, disk)

    found = rows(build(fill))
    assert found["load"].disk == Bounds(4 * MIB, 6 * MIB)
    assert found["load"].cache == Bounds(0, 2 * MIB)
    assert found["prompt"].disk == Bounds(0, MIB)


def test_what_came_after_the_last_sample_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        out.phase("load", 0, 50_000)
        sample(out, 0, 0, 0)
        sample(out, 40_000, MIB, 3 * MIB)

    found = rows(build(fill))["load"]
    assert (found.disk, found.mapped) == (Bounds(MIB, None), Bounds(3 * MIB, None))
    assert found.cache == Bounds(0, None)


def test_a_started_program_began_with_nothing_and_its_end_is_known(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/m/a.gguf", ret=4)
        out.phase("load", 1000, 50_000)
        sample(out, 40_000, MIB, MIB)
        out.call("read", 45_000, 4, 0, 2 * MIB, ret=2 * MIB)
        out.call("close", 60_000, 4)

    found = rows(build(fill, attached=False, disk_read_bytes=3 * MIB))
    assert found["all"].disk == Bounds(3 * MIB, 3 * MIB)
    assert found["load"].disk == Bounds(0, 3 * MIB)
    attached = rows(build(fill, attached=True))
    assert attached == {}  # One sample is no step.


def test_reads_of_pipes_sockets_and_proc_aren_t_files(build: Build) -> None:
    def fill(out: Any) -> None:
        sample(out, 0, 0, 0)
        for at, path in (
            (10, b"/proc/meminfo"),
            (20, b"pipe:[7]"),
            (30, b"/etc/passwd"),
            (40, b"/dev/urandom"),
        ):
            out.call("openat", at, 0, 0, 0, text=path, ret=4)
            out.call("read", at + 1, 4, 0, 100, ret=100)
        sample(out, 100, 0, 0)

    assert rows(build(fill))["all"].read_bytes == 100


def test_without_read_calls_the_page_cache_s_share_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        sample(out, 0, 0, 0)
        sample(out, 100, MIB, MIB)

    found = rows(build(fill, selection=[9, 257]))["all"]
    assert (found.read_bytes, found.cache) == (None, UNKNOWN)
    assert found.disk == Bounds(MIB, MIB)


def test_memory_that_is_given_back_isn_t_taken_off(build: Build) -> None:
    def fill(out: Any) -> None:
        for at, mapped in ((0, 0), (10, 5 * MIB), (20, MIB), (30, 2 * MIB)):
            sample(out, at, 0, mapped)

    assert rows(build(fill))["all"].mapped == Bounds(6 * MIB, 6 * MIB)


def test_old_captures_without_the_counter(build: Build) -> None:
    def fill(out: Any) -> None:
        sample(out, 0, 0)
        sample(out, 100, MIB)

    found = rows(build(fill))["all"]
    assert found.disk == Bounds(MIB, MIB)
    assert (found.mapped, found.cache) == (UNKNOWN, UNKNOWN)


def test_bounds_read_as_people_say_them() -> None:
    texts = [
        bounds_text(Bounds(*pair))
        for pair in ((None, None), (0, None), (0, 0), (0, 5), (3, 3), (3, 5), (3, None))
    ]
    assert texts == ["unknown", "unknown", "0 B", "at most 5 B", "3 B", "3 B to 5 B", "at least 3 B"]
