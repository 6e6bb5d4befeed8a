"""What is known about GPUs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceProcess:
    """A process that uses a device.

    Attributes:
        pid: In this process's PID namespace; None if it is outside, or can't be told.
        driver_pid: As the driver counts, which is the host's number even in a container.
        memory_bytes: On the device; None if the driver doesn't say.
        source: ``nvml``, ``fdinfo`` or ``kfd``.
    """

    pid: int | None
    driver_pid: int
    memory_bytes: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU.

    Attributes:
        vendor: ``NVIDIA``, ``AMD`` or ``Intel``.
        name: The product, or its PCI numbers.
        pci: Address on the bus, ``0000:01:00.0``; None if unknown.
        driver: Kernel driver with its version where known.
        total_bytes: Memory of the device; None if unknown or if it has none of its own.
        used_bytes: In use by anyone; None if unknown.
        free_bytes: None if unknown.
        processes: Who uses it, as far as it can be seen.
        only_device_total: True if memory can't be told by process here, only for the whole device.
    """

    vendor: str
    name: str
    pci: str | None
    driver: str | None
    total_bytes: int | None
    used_bytes: int | None
    free_bytes: int | None
    processes: tuple[DeviceProcess, ...]
    only_device_total: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a GPU isn't there or isn't used, and what to do.

    Attributes:
        code: ``no-device``, ``no-driver``, ``no-device-node``, ``no-permission``, ``no-library``,
            ``no-extra``, ``driver-failed`` or ``engine-without-backend``.
        vendor: As in :class:`Device`, or empty where it concerns all.
        message: What was found.
        remedy: A sentence; empty if there is nothing to do.
    """

    code: str
    vendor: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Found:
    """What one vendor's part has found."""

    devices: tuple[Device, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuReport:
    """All GPUs of this machine.

    Attributes:
        devices: Of all vendors.
        reasons: Why there are none, or why those that are there can't be used.
        nodes: Device files of GPU drivers under /dev.
    """

    devices: tuple[Device, ...]
    reasons: tuple[Reason, ...]
    nodes: tuple[str, ...]
