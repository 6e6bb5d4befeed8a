"""The engine's buffers against the driver's count: what is beyond them is said, and why there is no count."""

from __future__ import annotations

import pytest

from llamactl.snapshot.gpu.account import DeviceAccount, Held, accounts
from llamactl.snapshot.gpu.facts import Device, DeviceProcess

MIB = 1 << 20
HELD = Held("CUDA0", "0000:01:00.0", 90 * MIB, 6 * MIB, 49 * MIB)


def device(*processes: DeviceProcess, pci: str = "00000000:01:00.0", only_total: bool = False) -> Device:
    return Device("NVIDIA", "H100", pci, "580", 80 << 30, 600 * MIB, 79 << 30, processes, only_total)


def one(*devices: Device, held: Held = HELD) -> DeviceAccount:
    (row,) = accounts([held], 7, devices)
    return row


def test_what_the_driver_counts_beyond_the_buffers() -> None:
    row = one(device(DeviceProcess(7, 4711, 500 * MIB, "nvml"), DeviceProcess(8, 4712, 99 * MIB, "nvml")))
    assert (row.buffers_bytes, row.process_bytes, row.source) == (145 * MIB, 500 * MIB, "nvml")
    assert row.unaccounted_bytes == 355 * MIB
    assert row.reason is None


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ([], "no driver"),
        ([device(pci="0000:02:00.0")], "no driver"),
        ([device(pci="00000001:01:00.0")], "no driver"),
        ([device(DeviceProcess(None, 4711, 500 * MIB, "nvml"))], "total only"),
        ([device(only_total=True)], "total only"),
        ([device(DeviceProcess(7, 7, None, "nvml"))], "nothing for this process"),
    ],
    ids=[
        "no device",
        "another device",
        "another domain",
        "another PID namespace",
        "only the total",
        "no number",
    ],
)
def test_without_a_count_the_reason_is_said(devices: list[Device], why: str) -> None:
    row = one(*devices)
    assert (row.process_bytes, row.unaccounted_bytes, row.source) == (None, None, None)
    assert row.reason is not None
    assert why in row.reason
    assert row.buffers_bytes == 145 * MIB


def test_a_device_in_software_has_no_address() -> None:
    row = one(device(), held=Held("Vulkan0", None, 1, 2, 3))
    assert (row.buffers_bytes, row.process_bytes) == (6, None)
    assert row.reason is not None
    assert "software" in row.reason
