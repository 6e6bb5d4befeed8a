"""What a program asked of its device: bytes and launches, by token and phase; memory, errors, first uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
from device_capture import CONTEXT, FUNCTIONS, call
from device_capture import metadata as llama_metadata

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.json import report_json
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.gpu.device_facts import DeviceCallFacts
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
SCHEMA = Path(__file__).parents[2] / "llamactl" / "render" / "schemas" / "trace.schema.json"
KIB, MIB = 1 << 10, 1 << 20
IN, OUT, ON, GUESS = 1, 2, 3, 4
WEIGHTS, PINNED, HOST, STREAM = 0x7000_0000_0000, 0x7100_0000_0000, 0x5500_0000_0000, 0x51
DEVICE = {
    "cudaMalloc": ("address:p bytes:u", "alloc-device"),
    "cudaMallocHost": ("address:p bytes:u", "alloc-pinned"),
    "cudaFree": ("address:p", "free"),
    "cudaMemcpyAsync": ("to:p from:p bytes:u kind:i stream:p", "copy"),
    "cudaLaunchKernel": ("function:p stream:p", "launch"),
    "cublasGemmEx": ("", "launch-library"),
    "cudaStreamBeginCapture": ("stream:p", "capture"),
    "cudaStreamEndCapture": ("stream:p graph:p", "captured"),
    "cudaGraphInstantiate": ("executable:p graph:p", "graph"),
    "cudaGraphExecUpdate": ("executable:p graph:p", "graph"),
    "cudaGraphLaunch": ("executable:p stream:p", "launch-graph"),
    "cudaStreamSynchronize": ("stream:p", "wait"),
    "cudaGetDeviceCount": ("", "start"),
    "vkWaitForFences": ("", "wait"),
    "vkAllocateMemory": ("address:p bytes:u type:i", "alloc-device"),
    "vkCmdCopyBuffer": ("to:p from:p bytes:u", "copy"),
}
NUMBER = {name: len(FUNCTIONS) + index for index, name in enumerate(DEVICE)}


def metadata(**more: Any) -> dict[str, Any]:
    """llama.cpp's functions, then the device's."""
    facts = llama_metadata(**more)
    for name, (keeps, role) in DEVICE.items():
        args, text = parse_keeps(keeps)
        row = Function(name, "/l/libggml-cuda.so", "/l/libcudart.so.13", "plt", args, text, "i", role)
        facts["function_table"].append(row.to_metadata())
        facts["functions"].append(name)
    return facts


def ask(out: Any, name: str, at_us: float, us: float, *args: int, ret: int = 0, **more: Any) -> None:
    out.add(Kind.DEVICE, at_us, nr=NUMBER[name], args=args, duration=int(us * 1000), ret=ret, **more)


def load(out: Any) -> None:
    """407 MiB of weights through memory that isn't pinned, and a pinned buffer for the results."""
    ask(out, "cudaGetDeviceCount", 0, 200_000)
    call(out, "llama_model_load_from_file", 200_000, 90_000, 99, 1, 1, text=b"/m/tiny.gguf", ret=7)
    ask(out, "cudaMalloc", 201_000, 300, WEIGHTS, 8 * MIB)
    ask(out, "cudaMemcpyAsync", 202_000, 500, WEIGHTS, HOST, 7 * MIB, IN, STREAM)
    call(out, "llama_init_from_model", 300_000, 9_000, 512, 512, 2, ret=CONTEXT)
    ask(out, "cudaMallocHost", 301_000, 300, PINNED, 128 * KIB)


def decode(out: Any, at_us: float, tokens: int, work: Callable[[float], None]) -> float:
    call(out, "llama_decode", at_us, 800, CONTEXT, tokens, 0x70)
    work(at_us)
    ask(out, "cudaMemcpyAsync", at_us + 700, 5, PINNED, WEIGHTS, 4 * KIB, OUT, STREAM)
    call(out, "llama_sampler_sample", at_us + 810, 150, 0x5A, CONTEXT, 0)
    ask(out, "cudaStreamSynchronize", at_us + 820, 100, STREAM)
    return at_us + 1000


def generate(out: Any) -> None:
    """A prompt of single launches; a token that is captured; tokens that launch the graph."""
    load(out)

    def singly(at_us: float) -> None:
        for index in range(6):
            ask(out, "cudaLaunchKernel", at_us + 10 + index, 0.9, 0xF1, STREAM)
        ask(out, "cublasGemmEx", at_us + 30, 2)

    def captured(at_us: float) -> None:
        ask(out, "cudaStreamBeginCapture", at_us + 10, 1, STREAM)
        for index in range(5):
            ask(out, "cudaLaunchKernel", at_us + 12 + index, 0.5, 0xF1, STREAM)
        ask(out, "cudaMemcpyAsync", at_us + 20, 1, WEIGHTS + 4096, WEIGHTS, 256, ON, STREAM)
        ask(out, "cudaStreamEndCapture", at_us + 22, 1, STREAM, 0x6A)
        ask(out, "cudaGraphInstantiate", at_us + 24, 1, 0x6E, 0x6A)
        ask(out, "cudaGraphLaunch", at_us + 26, 9, 0x6E, STREAM)

    def launched(at_us: float) -> None:
        ask(out, "cudaMemcpyAsync", at_us + 5, 2, WEIGHTS, HOST, 16, IN, STREAM)
        ask(out, "cudaStreamSynchronize", at_us + 8, 3, STREAM)
        ask(out, "cudaGraphLaunch", at_us + 26, 9, 0x6E, STREAM)

    at = decode(out, 400_000, 9, singly)
    at = decode(out, at, 1, captured)
    for _ in range(4):
        at = decode(out, at, 1, launched)


def report_of(build: Build, fill: Callable[[Any], None], **more: Any) -> TraceReport:
    return analyse(build(fill, **metadata(**more)))


def facts_of(report: TraceReport) -> DeviceCallFacts:
    assert report.device_calls is not None
    return report.device_calls


def phase(report: TraceReport, name: str) -> Any:
    return next(row for row in report.device_phases if row.name == name)


def test_a_captured_launch_runs_as_often_as_its_graph(build: Build) -> None:
    report = report_of(build, generate)
    row = phase(report, "decode")
    assert row.graph_launches == 5 and row.kernels == 25
    assert row.launches == 0, "those of the capture were put into the graph, none ran by itself"
    assert row.on_bytes == 5 * 256, "a copy in the graph, too"
    assert facts_of(report).unknown_graphs == 0


def test_a_library_s_calls_are_counted_by_themselves(build: Build) -> None:
    row = phase(report_of(build, generate), "prefill")
    assert (row.launches, row.library_calls, row.kernels) == (6, 1, 6)


def test_bytes_by_direction_and_phase(build: Build) -> None:
    report = report_of(build, generate)
    assert phase(report, "load").in_bytes == phase(report, "load").pageable_bytes == 7 * MIB
    row = phase(report, "decode")
    assert (row.in_bytes, row.out_bytes) == (4 * 16, 5 * 4 * KIB)
    assert row.pageable_bytes == 4 * 16, "what comes back goes into pinned memory"


def test_one_token(build: Build) -> None:
    token = facts_of(report_of(build, generate)).token
    assert token is not None and token.tokens == 4, "the last token has no next decode"
    assert (token.graph_launches, token.kernels, token.out_bytes) == (1, 5, 4 * KIB)
    assert token.waits == 1.75 and token.waited_ns == (4 * 100_000 + 3 * 3000) / 4
    assert token.short_waits_ns == 3 * 3000 / 4


def test_memory_by_who_took_it_and_for_what(build: Build) -> None:
    report = report_of(build, generate)
    rows = {row.name: row for row in report.device_memory}
    assert (rows["device"].bytes, rows["device"].within) == (8 * MIB, "llama_model_load_from_file")
    assert (rows["pinned"].bytes, rows["pinned"].within) == (128 * KIB, "llama_init_from_model")
    assert rows["device"].caller == "libggml-cuda.so"
    facts = facts_of(report)
    assert facts.peak_bytes == facts.left_bytes == 8 * MIB, "pinned memory is the host's"


def test_memory_that_is_given_back_is_gone(build: Build) -> None:
    def fill(out: Any) -> None:
        for round_ in range(3):
            ask(out, "cudaMalloc", round_ * 100, 5, WEIGHTS, 4 * MIB)
            ask(out, "cudaMalloc", round_ * 100 + 10, 5, WEIGHTS + 16 * MIB, MIB)
            ask(out, "cudaFree", round_ * 100 + 50, 5, WEIGHTS)
            ask(out, "cudaFree", round_ * 100 + 60, 5, WEIGHTS + 16 * MIB)

    facts = facts_of(report_of(build, fill))
    assert (facts.peak_bytes, facts.left_bytes) == (5 * MIB, 0)


def test_a_copy_goes_where_its_ends_lie_when_nobody_says(build: Build) -> None:
    def fill(out: Any) -> None:
        ask(out, "cudaMalloc", 0, 5, WEIGHTS, 4 * MIB)
        ask(out, "cudaMemcpyAsync", 10, 1, WEIGHTS + 100, HOST, 11, GUESS)
        ask(out, "cudaMemcpyAsync", 20, 1, HOST, WEIGHTS + 100, 22, GUESS)
        ask(out, "cudaMemcpyAsync", 30, 1, WEIGHTS, WEIGHTS + 100, 33, GUESS)
        ask(out, "cudaFree", 40, 5, WEIGHTS)
        ask(out, "cudaMemcpyAsync", 50, 1, WEIGHTS, HOST, 44, GUESS)

    (row,) = report_of(build, fill).device_phases
    assert (row.in_bytes, row.out_bytes, row.on_bytes) == (11, 22, 33), "and unknown is none of them"


def test_first_uses_are_told_from_long_work(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        ask(out, "cudaStreamSynchronize", 900_000, 5000, STREAM)

    (first,) = facts_of(report_of(build, fill)).start_up
    assert (first.name, first.total_ns) == ("cudaGetDeviceCount", 200_000_000), "a wait is no start"


def test_errors_are_shown_with_what_was_asked(build: Build) -> None:
    def fill(out: Any) -> None:
        generate(out)
        for index in range(3):
            ask(out, "cudaMalloc", 900_000 + index, 0.5, 0, 20 << 30, ret=2)

    report = report_of(build, fill)
    (error,) = facts_of(report).errors
    assert (error.name, error.code, error.count, error.asked_bytes) == ("cudaMalloc", 2, 3, 20 << 30)
    (row,) = (row for row in mechanisms(report) if row.name == "GPU")
    assert row.verdict == "FAILS"
    assert any("out of memory" in line for line in row.lines)
    assert facts_of(report).peak_bytes == 8 * MIB, "what was refused was never there"
    text = next(finding_text(one) for one in find(report) if one.kind is FindingKind.DEVICE_ERRORS)
    assert "cudaMalloc failed 3 times for 20 GiB" in text and "n_gpu_layers" in text


def test_an_answer_of_vulkan_is_no_error(build: Build) -> None:
    def fill(out: Any) -> None:
        ask(out, "vkWaitForFences", 0, 5, ret=2)  # VK_TIMEOUT
        ask(out, "vkAllocateMemory", 10, 5, 0, 7 * MIB, 1, ret=-2)

    facts = facts_of(report_of(build, fill))
    assert [(one.name, one.what) for one in facts.errors] == [("vkAllocateMemory", "out of device memory")]
    assert facts.families == ("Vulkan",)


def test_handles_of_vulkan_are_no_addresses(build: Build) -> None:
    def fill(out: Any) -> None:
        ask(out, "vkAllocateMemory", 0, 5, 0x1000, 7 * MIB, 1)
        ask(out, "vkCmdCopyBuffer", 10, 5, 0x1100, 0x9000_0000, 123)

    (row,) = report_of(build, fill).device_phases
    assert (row.in_bytes, row.out_bytes, row.on_bytes) == (0, 0, 0), "which way it goes isn't known"


def test_layers_that_were_asked_for_and_nothing_was_launched(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out)
        for index in range(4):
            decode(out, 400_000 + index * 1000, 1, lambda _: None)

    (finding,) = (one for one in find(report_of(build, fill)) if one.kind is FindingKind.DEVICE_IDLE)
    assert finding.figures["layers_asked"] == 99
    assert "the CPU computes" in finding_text(finding)


def test_results_that_come_into_pageable_memory(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out)
        for index in range(4):
            at = 400_000 + index * 1000
            decode(out, at, 1, lambda at_us: ask(out, "cudaLaunchKernel", at_us + 10, 1, 0xF1, STREAM))
            ask(out, "cudaMemcpyAsync", at + 400, 90, HOST, WEIGHTS, 128_000, OUT, STREAM)

    (finding,) = (one for one in find(report_of(build, fill)) if one.kind is FindingKind.DEVICE_PAGEABLE)
    assert finding.figures == {"bytes_per_token": 128_000, "copy_ns_per_token": 90_000}


def test_waits_with_nothing_to_wait_for(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out)
        for index in range(4):
            at = 400_000 + index * 1000
            decode(out, at, 1, lambda at_us: ask(out, "cudaLaunchKernel", at_us + 10, 1, 0xF1, STREAM))
            for again in range(20):
                ask(out, "cudaStreamSynchronize", at + 100 + again * 10, 6, STREAM)

    (finding,) = (one for one in find(report_of(build, fill)) if one.kind is FindingKind.DEVICE_WAITS)
    assert finding.figures["short_waits_ns_per_token"] == 120_000
    assert finding.figures["waits_per_token"] == 21
    assert not any(
        one.kind in {FindingKind.DEVICE_WAITS, FindingKind.DEVICE_IDLE, FindingKind.DEVICE_PAGEABLE}
        for one in find(report_of(build, generate))
    ), "and a program that does it right hears nothing"


def test_calls_that_were_only_counted_make_figures_at_least(build: Build) -> None:
    agent = {"python": "3.11.7", "counted": {str(NUMBER["cudaLaunchKernel"]): {"calls": 500, "ns": 60_000}}}
    report = report_of(build, generate, agent=agent)
    facts = facts_of(report)
    assert not facts.complete
    launch = next(row for row in report.device_functions if row.name == "cudaLaunchKernel")
    assert (launch.count, launch.without_record) == (511, 500)
    assert phase(report, "load").pageable_bytes is None, "which memory is pinned isn't sure any more"
    (row,) = (row for row in mechanisms(report) if row.name == "GPU")
    assert any("at least" in line for line in row.lines)
    assert report.exchange is not None and report.exchange.exchange.complete, (
        "llama.cpp's calls are all there"
    )


def test_a_call_that_never_returned(build: Build) -> None:
    def fill(out: Any) -> None:
        ask(out, "cudaMalloc", 0, 0, 0x7FFE, 8 * MIB, flags=Flag.NO_EXIT)

    report = report_of(build, fill)
    facts = facts_of(report)
    assert report.device_functions[0].unfinished == 1
    assert facts.peak_bytes == 0 and not facts.errors, "what it did isn't known"


def test_the_document_fits_its_schema_and_the_row_is_short(build: Build) -> None:
    report = report_of(build, generate)
    document = json.loads(report_json(report))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert document["device_calls"]["token"]["kernels"] == 5
    assert {row["name"] for row in document["device_phases"]} >= {"load", "decode"}
    (row,) = (row for row in mechanisms(report) if row.name == "GPU")
    assert any(line.startswith("a token: 1 graph, 5 kernels") for line in row.lines), row.lines


def test_a_program_without_a_device_has_none_of_it(build: Build) -> None:
    report = analyse(build(lambda out: call(out, "llama_decode", 0, 9, CONTEXT, 1, 1), **llama_metadata()))
    assert report.device_calls is None and not report.device_functions
    assert json.loads(report_json(report))["device_calls"] is None
