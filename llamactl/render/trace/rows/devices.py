"""What lies on devices, in lines of the report."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import byte_text, counted
from llamactl.trace.mechanisms.gpu.device_buffers import DeviceMemory
from llamactl.trace.mechanisms.gpu.offload import DeviceFacts, Offload

_SHOWN = 4


def device_lines(facts: DeviceFacts) -> Iterator[str]:
    """Return the layers that were asked for and are there, then each device's memory by kind."""
    for row in facts.offloads[-_SHOWN:]:
        yield _offload(row)
    several = len({row.pid for row in facts.memory}) > 1
    for memory in facts.memory[:_SHOWN]:
        yield _memory(memory, several)
    failed = [row for row in facts.buffers if row.failed]
    if failed:
        yield f"{counted(len(failed), 'buffer')} refused by the device"


def _offload(row: Offload) -> str:
    asked = "unknown" if row.asked is None else "all" if row.asked < 0 else str(row.asked)
    total = "" if row.total is None else f" of {row.total}"
    where = f" on {', '.join(safe_text(name) for name in row.devices)}" if row.devices else ""
    cache = f"; KV cache on {', '.join(safe_text(name) for name in row.kv_devices)}" if row.kv_devices else ""
    return f"layers: {row.layers}{total}{where} (asked for: {asked}){cache}"


def _memory(row: DeviceMemory, several: bool) -> str:
    name = safe_text(row.device) + (", the machine's memory" if row.host else "")
    who = f" of process {row.pid}" if several else ""
    parts = ", ".join(f"{kind} {byte_text(size)}" for kind, size in row.kinds.items())
    end = f"; {byte_text(row.end_bytes)} at the end" if row.end_bytes != row.peak_bytes else ""
    return f"{name}{who}: {byte_text(row.peak_bytes)} ({parts}){end}"
