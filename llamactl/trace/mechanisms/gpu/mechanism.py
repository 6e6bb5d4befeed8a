"""GPU: what lies on devices, what was asked of them, and which device nodes were opened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from llamactl.process.files.device_nodes import GPU_NODES_BYTES
from llamactl.trace.mechanisms.files.mechanism import FileFacts
from llamactl.trace.mechanisms.findings import device_calls
from llamactl.trace.mechanisms.gpu.device_facts import (
    DeviceCallFacts,
    DeviceFunctionRow,
    DevicePhaseRow,
    device_call_report,
)
from llamactl.trace.mechanisms.gpu.device_memory import DeviceTakenRow
from llamactl.trace.mechanisms.gpu.offload import DeviceFacts, device_facts
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.table import ERRORS, UNFINISHED, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


class GpuState(Enum):
    """What was seen of device nodes."""

    OPENED = "opened"
    HELD = "open when recording began"
    NOT_OPENED = "not opened"
    UNKNOWN = "opening files wasn't recorded"


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a program did with device nodes of GPUs.

    Attributes:
        state: What was seen.
        nodes: The device nodes: those opened, held, or looked for in vain.
        calls: System calls on them.
    """

    state: GpuState
    nodes: list[str]
    calls: int


@dataclass(frozen=True)
class GpuFacts:
    """The use of GPUs."""

    gpu: GpuUse
    devices: DeviceFacts | None
    """What lies on devices by the engine's own buffers; None where the agent saw none being made."""
    device_calls: DeviceCallFacts | None
    """What the program asked of its device; None where it asked nothing, or its calls weren't recorded."""
    device_functions: list[DeviceFunctionRow]
    device_phases: list[DevicePhaseRow]
    device_memory: list[DeviceTakenRow]


class Gpu(Mechanism[GpuFacts]):
    """What goes to a GPU's driver."""

    name = "gpu"
    title = "GPU"
    explanation = (
        "What lies on a device is told by the engine's buffers, what crosses by the calls of CUDA, HIP and Vulkan."
        " A token's work is launched by the program, and waited for."
    )
    facts = GpuFacts
    tables = (
        Table("device_functions", "By function of the device's library", DeviceFunctionRow, (
            Column("name", "function", width=28), Column("count"), ERRORS, UNFINISHED, Column("total_ns", "total"),
            Column("mean_ns", "mean"), Column("max_ns", "max"), Column("bytes", "bytes", blank=True),
        )),
        Table("device_phases", "What was asked of the device, by phase", DevicePhaseRow, (
            Column("name", "phase", width=10), Column("launches", blank=True),
            Column("graph_launches", "graphs", blank=True), Column("library_calls", "library", blank=True),
            Column("kernels", blank=True), Column("in_bytes", "in", blank=True), Column("out_bytes", "out", blank=True),
            Column("pageable_bytes", "not pinned", blank=True), Column("waits", blank=True),
            Column("waited_ns", "waiting"),
        )),
        Table("device_memory", "Memory that was asked for on and for the device", DeviceTakenRow, (
            Column("name", "kind", width=10), Column("count", "pieces"), Column("bytes", "size", blank=True),
            Column("largest_bytes", "largest", blank=True), Column("left_bytes", "left", blank=True),
            Column("within", "in", width=26), Column("caller", "by", width=20),
        )),
    )  # fmt: skip
    looks = device_calls.LOOKS

    def draw(self, drawn: Drawn) -> GpuFacts:
        """Return the device nodes that were used, what lies on devices, and what was asked of them."""
        calls = self.scene.calls
        devices = None if calls is None else device_facts(calls, self.scene.begin_ns)
        found = self.scene.exchange
        asked = device_call_report(
            self.scene.capture, self.scene.phases, calls, found.tokens if found is not None else None
        )
        return GpuFacts(
            gpu=_use(drawn.of(FileFacts)),
            devices=devices,
            device_calls=asked.facts,
            device_functions=asked.functions,
            device_phases=asked.phases,
            device_memory=asked.memory,
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Whether a device was used; unknown is never none."""
        use = report.gpu
        if report.device_calls is not None:
            return attention("FAILS") if report.device_calls.errors else OK
        if report.devices is not None and report.devices.used:
            return OK
        if use.state is GpuState.OPENED or (use.state is GpuState.HELD and use.calls):
            return OK
        return UNKNOWN if use.state is GpuState.UNKNOWN else UNUSED


def _use(files: FileFacts) -> GpuUse:
    """Return which device nodes were used."""
    nodes = [row for row in files.files if row.name.startswith(GPU_NODES_BYTES)]
    opened = [row for row in nodes if row.opens]
    if opened:
        return _found(GpuState.OPENED, [row.name for row in opened], sum(row.count for row in opened))
    held = [name for name in files.open_at_start if name.startswith(GPU_NODES_BYTES)]
    if held:
        return _found(GpuState.HELD, held, sum(row.count for row in nodes))
    if not files.blind.opens:
        return _found(GpuState.UNKNOWN, [], 0)
    return _found(GpuState.NOT_OPENED, [row.name for row in nodes], sum(row.count for row in nodes))


def _found(state: GpuState, names: list[bytes], calls: int) -> GpuUse:
    return GpuUse(state, [name.decode("utf-8", "backslashreplace") for name in names], calls)
