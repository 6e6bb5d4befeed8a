"""Findings appear when the capture measured them, with its figures, and never without."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from capture_of_tokens import DECODE, INIT, LOGITS, generate, metadata, threads

from llamactl.render.trace.findings.text import SENTENCES, finding_text, findings_text
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]


def kinds(capture: Capture) -> dict[Enum, Finding]:
    return {finding.kind: finding for finding in find(analyse(capture))}


def test_a_program_without_faults_has_no_findings(build: Build) -> None:
    report = analyse(build(generate, **metadata()))
    assert find(report) == []
    assert findings_text([]) == ""
    text = report_text(report)
    assert "released in 6 of 6 computing calls" in text
    assert "ctypes: 4 functions of libllama.so" in text


def test_the_gil_held_in_decode(build: Build) -> None:
    finding = kinds(build(lambda out: generate(out, flag=Flag.GIL_HELD), **metadata()))[FindingKind.GIL_HELD]
    assert finding.figures["held"] == finding.figures["count"] == 6
    assert finding.figures["longest_ns"] == 8_000_000
    assert finding.cost_ns == 48_000_000
    assert finding.place == ("/a/app.py", 9, "go")
    assert "CDLL" in finding_text(finding)


def test_threads_above_the_budget(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        out.add(Kind.CALL, 3500, nr=INIT, args=(512, 512, threads(8, 16)), duration=1000)

    finding = kinds(build(fill, **metadata()))[FindingKind.THREADS_OVER_BUDGET]
    assert finding.figures == {
        "threads": 8, "threads_batch": 16, "budget_threads": 2, "limited_by": "quota", "cpu_list": None,
        "pinned_by": None,
    }  # fmt: skip
    assert "8 threads (16 for prompts) compute on a budget of 2" in finding_text(finding)
    assert "Set n_threads and n_threads_batch to 2" in finding_text(finding)


def test_python_between_the_calls(build: Build) -> None:
    finding = kinds(build(lambda out: generate(out, python_us=4000), **metadata()))[
        FindingKind.BINDING_OVERHEAD
    ]
    assert finding.figures["python_us_per_token"] == pytest.approx(4000)
    assert finding.figures["share"] == pytest.approx(4000 / 12000)
    assert "4 ms of 12 ms per token (33%)" in finding_text(finding)


def test_a_load_mode_that_is_not_in_force(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        out.call("openat", 100, 0, 0, 0, text=b"/m/tiny.gguf", ret=4)
        out.call("read", 200, 4, 0, 8 << 20, ret=8 << 20)

    finding = kinds(build(fill, **metadata()))[FindingKind.LOAD_MODE]
    assert finding.figures == {"asked": "mmap", "in_force": "none", "file": "/m/tiny.gguf"}


def test_memory_that_grows_with_every_request(build: Build) -> None:
    def fill(out: Any, step: int) -> None:
        for request in range(8):
            at = request * 100_000
            out.add(Kind.COUNTER, at, nr=0, ret=(100 << 20) + request * step)
            out.add(Kind.CALL, at + 1000, nr=DECODE, args=(1, 6, 0), duration=5_000_000)
            out.add(Kind.CALL, at + 10_000, nr=DECODE, args=(1, 1, 0), duration=5_000_000)

    growing = kinds(build(lambda out: fill(out, 1 << 20), **metadata()))
    assert growing[FindingKind.MEMORY_GROWS].figures["per_request_bytes"] == 1 << 20
    assert FindingKind.MEMORY_GROWS not in kinds(build(lambda out: fill(out, 0), **metadata()))


def test_copies_openmp_mlock_gpu_and_temporary_files(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        for fd, path in ((4, b"/usr/lib/libgomp.so.1"), (5, b"/usr/lib/libomp.so.5")):
            out.call("openat", 100 * fd, 0, 0, 0, text=path, ret=fd)
            out.call("mmap", 100 * fd + 50, 0, 4096, 5, 2, fd, 0, ret=0x7F0000000000 + fd * 0x10000)
        out.call("mlock", 200, 0x7F0000000000, 4096, ret=-12)
        out.call("openat", 700, 0, 0, 0o302, 0o600, text=b"/tmp/left.bin", ret=9)
        out.call("write", 800, 9, 0, 100, ret=100)

    more = metadata(gpu_nodes=["/dev/nvidia0"])
    more["function_table"][LOGITS]["library"] = "/other/libllama.so"
    found = kinds(build(fill, **more))
    assert found[FindingKind.ENGINE_COPIES].figures["libraries"] == ["/l/libllama.so", "/other/libllama.so"]
    assert found[FindingKind.OPENMP_RUNTIMES].figures["runtimes"] == ["libgomp", "libomp"]
    assert found[FindingKind.MLOCK_FAILED].figures["failed_calls"] == 1
    assert found[FindingKind.GPU_UNUSED].figures["device_nodes"] == ["/dev/nvidia0"]
    assert found[FindingKind.TEMPORARY_FILES].figures["written_bytes"] == 100
    assert all(len(line) <= 80 for line in findings_text(list(found.values())).splitlines())


def test_every_kind_has_its_sentence() -> None:
    assert set(SENTENCES) == set(FindingKind)


def test_names_from_the_program_cannot_disturb_the_terminal(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        out.call("openat", 300, 0, 0, 0o302, 0o600, text=b"/tmp/\x1b[2Jleft", ret=9)

    assert "\x1b" not in report_text(analyse(build(fill, **metadata())))
