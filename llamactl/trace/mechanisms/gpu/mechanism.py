"""GPU: which device nodes were opened, and how much was asked of their driver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from llamactl.process.files.device_nodes import GPU_NODES_BYTES
from llamactl.trace.mechanisms.files.mechanism import FileFacts
from llamactl.trace.mechanisms.gpu.offload import DeviceFacts, device_facts
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict

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


class Gpu(Mechanism[GpuFacts]):
    """What goes to a GPU's driver."""

    name = "gpu"
    title = "GPU"
    explanation = (
        "What lies on a device is told by the engine's buffers. CUDA and ROCm talk to the kernel's driver through"
        " device nodes, ioctl and mmap."
    )
    facts = GpuFacts

    def draw(self, drawn: Drawn) -> GpuFacts:
        """Return the device nodes that were used, and what lies on devices."""
        calls = self.scene.calls
        devices = None if calls is None else device_facts(calls, self.scene.begin_ns)
        return GpuFacts(_use(drawn.of(FileFacts)), devices)

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Whether a device was used; unknown is never none."""
        use = report.gpu
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
