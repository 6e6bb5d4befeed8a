"""Which buffer lies on which device, how large, what for; the layers that were asked for and those that are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from device_capture import CONTEXT, SCHEDULER, call, metadata

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.json import report_json
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.gpu.left import Why
from llamactl.trace.mechanisms.gpu.offload import DeviceFacts
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
MIB = 1 << 20
MODEL, TENSORS, TYPE = 0x4D, 0x7E, 0x7F
TENSOR_CALL, PLAIN_CALL = "ggml_backend_alloc_ctx_tensors_from_buft", "ggml_backend_buft_alloc_buffer"
SCHEMA = Path(__file__).parents[2] / "llamactl" / "render" / "schemas" / "trace.schema.json"


def line(name: str, device: str, kind: int, size: int, *, host: int = 0, what: str = "", layers: str = "",
         output: int = 0) -> bytes:  # fmt: skip
    """As the agent writes it."""
    return f"{name}\t{device}\t{kind}\t{size}\t{host}\t{what}\t{layers}\t{output}\n".encode()


def load(out: Any, weights: list[bytes], cache: list[bytes], *, asked: int = 99) -> None:
    """A model and a context with these buffers, as llama.cpp makes them."""
    call(out, "llama_model_load_from_file", 0, 5000, asked, 1, 1, text=b"/m/tiny.gguf", ret=MODEL)
    for number, text in enumerate(weights):
        call(out, TENSOR_CALL, 1000 + number * 100, 50, TENSORS, TYPE, text=text, ret=0x100 + number)
    call(out, "llama_init_from_model", 6000, 4000, 512, 512, 2, ret=CONTEXT)
    for number, text in enumerate(cache):
        call(out, TENSOR_CALL, 6100 + number * 100, 50, TENSORS, TYPE, text=text, ret=0x200 + number)
    call(out, PLAIN_CALL, 7000, 10, TYPE, MIB, text=line("Vulkan_Host", "Vulkan0", 1, MIB, host=1), ret=0x300)
    compute = line("Vulkan0", "Vulkan0", 1, 49 * MIB) + line("CPU", "CPU", 0, 2 * MIB, host=1)
    call(out, "ggml_backend_sched_reserve", 7100, 500, SCHEDULER, text=compute, ret=1)


ALL = [line("Vulkan0", "Vulkan0", 1, 90 * MIB, what="weights", layers="0-29", output=1)]
ALL_KV = [line("Vulkan0", "Vulkan0", 1, 6 * MIB, what="cache", layers="0-29")]
SOME = [line("Vulkan0", "Vulkan0", 1, 20 * MIB, what="weights", layers="26-29", output=1)]
SOME_KV = [
    line("CPU", "CPU", 0, 5 * MIB, host=1, what="cache", layers="0-25"),
    line("Vulkan0", "Vulkan0", 1, 1 * MIB, what="cache", layers="26-29"),
]


def report_of(build: Build, fill: Callable[[Any], None]) -> TraceReport:
    return analyse(build(fill, **metadata()))


def facts_of(report: TraceReport) -> DeviceFacts:
    assert report.devices is not None
    return report.devices


def gpu_row(report: TraceReport) -> tuple[str, tuple[str, ...]]:
    (row,) = (row for row in mechanisms(report) if row.name == "GPU")
    return row.verdict, row.lines


def test_memory_by_device_and_kind(build: Build) -> None:
    report = report_of(build, lambda out: load(out, ALL, ALL_KV))
    device, pinned = facts_of(report).memory
    assert (device.device, device.host) == ("Vulkan0", False)
    assert dict(device.kinds) == {"weights": 90 * MIB, "KV cache": 6 * MIB, "compute": 49 * MIB}
    assert (device.peak_bytes, device.end_bytes) == (145 * MIB, 145 * MIB)
    assert (pinned.host, dict(pinned.kinds)) == (True, {"output": MIB})


@pytest.mark.parametrize(
    ("weights", "cache", "asked", "layers", "devices", "kv_devices"),
    [
        (ALL, ALL_KV, -1, 31, ("Vulkan0",), ("Vulkan0",)),
        (SOME, SOME_KV, 5, 5, ("Vulkan0",), ("CPU", "Vulkan0")),
        ([], [line("CPU", "CPU", 0, 6 * MIB, host=1, what="cache", layers="0-29")], 0, 0, (), ("CPU",)),
    ],
    ids=["all", "some", "none"],
)
def test_layers_asked_and_in_force(
    build: Build, weights: list[bytes], cache: list[bytes], asked: int, layers: int, devices: tuple[str, ...],
    kv_devices: tuple[str, ...],
) -> None:  # fmt: skip
    report = report_of(build, lambda out: load(out, weights, cache, asked=asked))
    (row,) = facts_of(report).offloads
    assert (row.asked, row.layers, row.total) == (asked, layers, 31)
    assert (row.devices, row.kv_devices) == (devices, kv_devices)


def test_the_gpu_row_needs_no_device_node(build: Build) -> None:
    verdict, lines = gpu_row(report_of(build, lambda out: load(out, ALL, ALL_KV)))
    assert verdict == "ok"
    assert lines[:2] == (
        "layers: 31 of 31 on Vulkan0 (asked for: 99); KV cache on Vulkan0",
        "Vulkan0: 145 MiB (weights 90 MiB, KV cache 6 MiB, compute 49 MiB)",
    )


def test_without_a_device_the_row_stays(build: Build) -> None:
    def fill(out: Any) -> None:
        cpu = [line("CPU", "CPU", 0, 6 * MIB, host=1, what="cache", layers="0-29")]
        call(out, "llama_model_load_from_file", 0, 5000, 0, 1, 1, text=b"/m/tiny.gguf", ret=MODEL)
        call(out, "llama_init_from_model", 6000, 4000, 512, 512, 2, ret=CONTEXT)
        call(out, TENSOR_CALL, 6100, 50, TENSORS, TYPE, text=cpu[0], ret=0x200)

    report = report_of(build, fill)
    assert not facts_of(report).used
    assert gpu_row(report) == ("–", ("none: no device node opened",))


def test_what_is_freed_is_gone_and_the_peak_stays(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        call(out, "ggml_backend_sched_free", 20_000, 10, SCHEDULER)
        call(out, "ggml_backend_buffer_free", 20_100, 10, 0x200)
        call(out, "ggml_backend_buffer_free", 20_200, 10, 0x100)

    device = facts_of(report_of(build, fill)).memory[0]
    assert (device.peak_bytes, device.end_bytes) == (145 * MIB, 0)


def test_compute_buffers_are_replaced_and_not_added(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        text = line("Vulkan0", "Vulkan0", 1, 60 * MIB)
        call(out, "ggml_backend_sched_reserve", 20_000, 10, SCHEDULER, text=text, ret=1)

    device = facts_of(report_of(build, fill)).memory[0]
    assert dict(device.kinds)["compute"] == 60 * MIB
    assert device.end_bytes == 156 * MIB


def test_a_buffer_that_the_device_refused(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        call(out, PLAIN_CALL, 20_000, 10, TYPE, 900 * MIB, ret=0)

    report = report_of(build, fill)
    failed = [row for row in facts_of(report).buffers if row.failed]
    assert [row.bytes for row in failed] == [900 * MIB]
    assert "1 buffer refused by the device" in gpu_row(report)[1]


def test_a_text_that_the_agent_did_not_write_is_left_out(build: Build) -> None:
    def fill(out: Any) -> None:
        load(
            out,
            [b"Vulkan0\tVulkan0\t1\t-5\t0\t\t\t\n", b"\xff\tx\n", b"a\tb\t99\t7\t0\tweights\tx-y,1-\t0\n"],
            [],
        )

    facts = facts_of(report_of(build, fill))
    assert [(row.device, row.bytes, row.device_type, row.layers) for row in facts.buffers][:1] == [
        ("b", 7, "", ())
    ]


def left_of(build: Build, fill: Callable[[Any], None]) -> list[tuple[str, int]]:
    report = report_of(build, fill)
    found = [one for one in find(report) if one.kind is FindingKind.DEVICE_MEMORY_LEFT]
    for one in found:
        assert one.figures["device"] in finding_text(one)
    return [(one.figures["why"], one.figures["bytes"]) for one in found]


def test_a_model_that_is_replaced_and_not_freed_is_found(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        call(out, "llama_decode", 20_000, 100, CONTEXT, 1, 0)
        call(out, "llama_model_load_from_file", 30_000, 5000, 99, 1, 1, text=b"/m/tiny.gguf", ret=0x4E)
        call(out, TENSOR_CALL, 31_000, 50, TENSORS, TYPE, text=ALL[0], ret=0x101)
        call(out, "llama_init_from_model", 36_000, 4000, 512, 512, 2, ret=0xC1)
        call(out, "llama_decode", 50_000, 100, 0xC1, 1, 0)

    assert left_of(build, fill) == [(Why.REPLACED.value, 145 * MIB)]


def test_two_models_that_are_both_used_are_meant(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        call(out, "llama_model_load_from_file", 30_000, 5000, 99, 1, 1, text=b"/m/tiny.gguf", ret=0x4E)
        call(out, TENSOR_CALL, 31_000, 50, TENSORS, TYPE, text=ALL[0], ret=0x101)
        call(out, "llama_init_from_model", 36_000, 4000, 512, 512, 2, ret=0xC1)
        call(out, "llama_decode", 50_000, 100, 0xC1, 1, 0)
        call(out, "llama_decode", 60_000, 100, CONTEXT, 1, 0)

    assert left_of(build, fill) == []


def test_a_context_that_outlives_its_model_is_found_and_a_program_that_just_ends_is_not(build: Build) -> None:
    def fill(out: Any) -> None:
        load(out, ALL, ALL_KV)
        call(out, "llama_model_free", 20_000, 100, MODEL)
        call(out, "ggml_backend_buffer_free", 20_010, 10, 0x100)

    assert left_of(build, fill) == [(Why.FREED.value, 55 * MIB)]
    assert left_of(build, lambda out: load(out, ALL, ALL_KV)) == []


def test_json_follows_its_schema(build: Build) -> None:
    document = json.loads(report_json(report_of(build, lambda out: load(out, SOME, SOME_KV, asked=5))))
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert document["devices"]["memory"][0]["kinds"] == {
        "weights": 20 * MIB,
        "KV cache": MIB,
        "compute": 49 * MIB,
    }
    assert document["devices"]["offloads"][0]["layers"] == 5
