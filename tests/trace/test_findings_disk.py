"""What comes from the disk while generating is the model's only with evidence; else the file and process are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llamactl.render.trace.findings.text import finding_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
MIB = 1 << 20
MODEL, ADDRESS = b"/m/tiny.gguf", 0x7F0000000000
COUNTERS = ["rss_bytes", "read_bytes", "file_rss_bytes", "major_faults"]
DISK, MAJOR = 1, 3


def run(out: Any, fetched_at: int = 50_000) -> None:
    """Load a model by mmap, then generate from 20 to 100 ms; 50 MiB come from the disk meanwhile."""
    out.call("openat", 100, 0, 0, 0, text=MODEL, ret=4)
    out.call("mmap", 200, 0, 90 * MIB, 1, 1, 4, 0, ret=ADDRESS)
    out.phase("load", 50, 10_000)
    out.phase("decode", 20_000, 80_000)
    for at, value in ((15_000, 10), (fetched_at - 5000, 10), (fetched_at + 5000, 60), (110_000, 60)):
        out.add(Kind.COUNTER, at, nr=DISK, ret=value * MIB)


def child_reads(out: Any, path: bytes = b"/data/cold.bin") -> None:
    out.add(Kind.TASK, 30_000, nr=Task.FORK, args=(2000, 2000))
    out.add(Kind.TASK, 31_000, pid=2000, tid=2000, nr=Task.EXEC, text=b"/usr/bin/cat")
    out.call("openat", 32_000, 0, 0, 0, pid=2000, tid=2000, text=path, ret=3)
    out.call("read", 33_000, 3, 0, 50 * MIB, pid=2000, tid=2000, ret=50 * MIB)


def faults(out: Any, count: int, address: int = ADDRESS, at: int = 50_000) -> None:
    for number in range(max(count, 1)):
        out.add(Kind.FAULT, at + number, nr=int(count > 0), args=(address + number * 4096,))


def disk_findings(capture: Capture) -> list[Finding]:
    kinds = {FindingKind.DISK_WHILE_GENERATING, FindingKind.OTHER_DISK_READS}
    return [one for one in find(analyse(capture)) if one.kind in kinds]


def the_finding(build: Build, *parts: Callable[[Any], None]) -> tuple[Finding, str]:
    def fill(out: Any) -> None:
        for part in parts:
            part(out)

    (found,) = disk_findings(build(fill, counters=COUNTERS))
    return found, finding_text(found)


def test_pages_of_the_model_that_were_waited_for(build: Build) -> None:
    found, text = the_finding(build, run, lambda out: faults(out, 400))
    assert found.kind is FindingKind.DISK_WHILE_GENERATING
    assert (found.figures["read_bytes"], found.figures["model_major_faults"]) == (50 * MIB, 400)
    assert "400 page faults in tiny.gguf waited for it" in text
    assert "use_mlock=True" in text


def test_a_model_that_is_read_again(build: Build) -> None:
    def again(out: Any) -> None:
        out.call("pread64", 40_000, 4, 0, 50 * MIB, ret=50 * MIB)
        faults(out, 0)

    found, text = the_finding(build, run, again)
    assert found.kind is FindingKind.DISK_WHILE_GENERATING
    assert "50 MiB of tiny.gguf were read" in text


def test_a_child_that_reads_a_cold_file(build: Build) -> None:
    found, text = the_finding(build, run, child_reads, lambda out: faults(out, 0))
    assert found.kind is FindingKind.OTHER_DISK_READS
    assert "none of it for the model: cat (process 2000) read 50 MiB of /data/cold.bin" in text
    assert "mlock" not in text


def test_one_stray_fault_on_the_model_is_not_its_fault(build: Build) -> None:
    found, text = the_finding(build, run, child_reads, lambda out: faults(out, 1))
    assert found.kind is FindingKind.OTHER_DISK_READS
    assert "cat (process 2000)" in text


def test_faults_while_loading_don_t_count(build: Build) -> None:
    found, _ = the_finding(build, run, child_reads, lambda out: faults(out, 400, at=5000))
    assert found.kind is FindingKind.OTHER_DISK_READS
    assert found.figures["model_major_faults"] == 0


def test_memory_that_was_swapped_out(build: Build) -> None:
    heap = 0x7E0000000000

    def swapped(out: Any) -> None:
        out.call("mmap", 300, 0, 90 * MIB, 3, 0x22, -1, 0, ret=heap)
        faults(out, 30, heap)

    _, text = the_finding(build, run, swapped)
    assert "30 page faults in anonymous memory waited for it: it was swapped out" in text


def test_without_faults_and_reads_nobody_is_blamed(build: Build) -> None:
    found, text = the_finding(build, run)
    assert found.kind is FindingKind.OTHER_DISK_READS
    assert "for which file isn't recorded" in text
    assert "whose pages were waited for" in text


@pytest.mark.parametrize(("gained", "known"), [(0, True), (3, False)])
def test_a_counter_can_rule_the_model_out(build: Build, gained: int, known: bool) -> None:
    def count(out: Any) -> None:
        for at, value in ((15_000, 7), (110_000, 7 + gained)):
            out.add(Kind.COUNTER, at, nr=MAJOR, ret=value)

    _, text = the_finding(build, run, child_reads, count)
    assert ("none of it for the model" in text) is known
    assert ("whose pages were waited for, wasn't recorded" in text) is not known


def test_reads_that_may_have_come_before_the_first_token_are_no_finding(build: Build) -> None:
    def fill(out: Any) -> None:
        run(out, fetched_at=20_000)

    assert disk_findings(build(fill, counters=COUNTERS)) == []


def test_pages_that_a_forked_worker_inherited(build: Build) -> None:
    def worker(out: Any, program: bool) -> None:
        run(out)
        out.add(Kind.TASK, 12_000, nr=Task.FORK, args=(2000, 2000))
        out.add(Kind.TASK, 13_000, pid=2000, tid=2000, nr=Task.FORK, args=(3000, 3000))
        if program:
            out.add(Kind.TASK, 14_000, pid=3000, tid=3000, nr=Task.EXEC, text=b"/usr/bin/other")
        for number in range(400):
            address = ADDRESS + number * 4096
            out.add(Kind.FAULT, 50_000 + number, nr=1, pid=3000, tid=3000, args=(address,))

    (found,) = disk_findings(build(lambda out: worker(out, program=False), counters=COUNTERS))
    assert (found.kind, found.figures["model_major_faults"]) == (FindingKind.DISK_WHILE_GENERATING, 400)
    # After it has started another program the addresses mean something else, which nobody saw.
    (found,) = disk_findings(build(lambda out: worker(out, program=True), counters=COUNTERS))
    assert found.kind is FindingKind.OTHER_DISK_READS
    assert found.figures["model_major_faults"] is None
    assert "Whether it was the model isn't known" in finding_text(found)
