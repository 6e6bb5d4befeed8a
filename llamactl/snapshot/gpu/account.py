"""What the engine holds on a device against what the device's driver counts for the process.

The driver counts more: contexts, compiled kernels, libraries' work space. What its count holds beyond the engine's
buffers is said, and so is why there is no count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamactl.snapshot.gpu.facts import Device


@dataclass(frozen=True, slots=True)
class Held:
    """The engine's buffers in one device's own memory, in bytes.

    Attributes:
        device: ggml's name, such as ``CUDA0``.
        pci: Its address on the bus; None where the backend doesn't tell.
        weights_bytes: Of models.
        kv_bytes: KV cache and outputs.
        compute_bytes: Work space of graphs.
    """

    device: str
    pci: str | None
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class DeviceAccount:
    """One device's memory, by kind of buffer and against the driver's count, in bytes.

    Attributes:
        device: ggml's name.
        pci: Its address on the bus; None for unknown.
        weights_bytes: Of models.
        kv_bytes: KV cache and outputs.
        compute_bytes: Work space of graphs.
        buffers_bytes: These three.
        process_bytes: What the driver counts for the process; None where it tells nothing.
        source: Where that is from: ``nvml``, ``fdinfo`` or ``kfd``; None without.
        unaccounted_bytes: What that holds beyond the buffers: contexts, kernels, libraries; None where it isn't known.
        reason: Why there is no count; None where there is one.
    """

    device: str
    pci: str | None
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    buffers_bytes: int
    process_bytes: int | None
    source: str | None
    unaccounted_bytes: int | None
    reason: str | None


def accounts(held: Iterable[Held], pid: int, devices: Sequence[Device]) -> tuple[DeviceAccount, ...]:
    """Set buffers against the driver's counts.

    Args:
        held: What the engine holds, one for each device.
        pid: The process, in this process's PID namespace.
        devices: What the drivers show (:func:`llamactl.snapshot.gpu.look.gpus`).
    """
    return tuple(_account(one, pid, devices) for one in held)


def _account(held: Held, pid: int, devices: Sequence[Device]) -> DeviceAccount:
    counted, source, reason = _counted(held, pid, devices)
    return DeviceAccount(
        device=held.device,
        pci=held.pci,
        weights_bytes=held.weights_bytes,
        kv_bytes=held.kv_bytes,
        compute_bytes=held.compute_bytes,
        buffers_bytes=held.total_bytes,
        process_bytes=counted,
        source=source,
        unaccounted_bytes=None if counted is None else counted - held.total_bytes,
        reason=reason,
    )


def _counted(held: Held, pid: int, devices: Sequence[Device]) -> tuple[int | None, str | None, str | None]:
    """Return the driver's count, where it is from, and why there is none."""
    if held.pci is None:
        return None, None, "the backend doesn't tell which device of the bus it is, as software has none"
    device = next((one for one in devices if _same(one.pci, held.pci)), None)
    if device is None:
        return None, None, "no driver of this machine shows that device"
    mine = [user for user in device.processes if user.pid == pid and user.memory_bytes is not None]
    if mine:
        return sum(user.memory_bytes or 0 for user in mine), mine[0].source, None
    if device.only_device_total or any(user.pid is None for user in device.processes):
        return None, None, "the driver tells the device's total only, not this process's part"
    return None, None, "the driver counts nothing for this process"


def _same(one: str | None, other: str) -> bool:
    """Compare addresses on the bus; NVML writes the domain with eight digits."""
    if one is None:
        return False
    domains, places = zip(*(text.lower().split(":", 1) for text in (one, other) if ":" in text), strict=True)
    return len(places) == 2 and places[0] == places[1] and len({int(part, 16) for part in domains}) == 1
