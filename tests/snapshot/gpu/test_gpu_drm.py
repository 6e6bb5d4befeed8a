"""AMD's and Intel's part, the driver files and the reasons, on a tree that the test has made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llamactl.snapshot.gpu import why
from llamactl.snapshot.gpu.driver_files import DriverFile, driver_files, is_driver_file
from llamactl.snapshot.gpu.drm import parse_fdinfo
from llamactl.snapshot.gpu.facts import DeviceProcess
from llamactl.snapshot.gpu.look import gpus
from llamactl.snapshot.gpu.system import System

MIB = 1 << 20
AMDGPU_FDINFO = """pos:\t0
flags:\t02100002
drm-driver:\tamdgpu
drm-client-id:\t{client}
drm-pdev:\t0000:03:00.0
drm-memory-vram:\t{kib} KiB
drm-memory-gtt: \t2048 KiB
drm-memory-cpu: \t0 KiB
"""
XE_FDINFO = """drm-driver:\txe
drm-client-id:\t9
drm-pdev:\t0000:00:02.0
drm-total-system:\t100 MiB
drm-resident-system:\t100 MiB
drm-total-vram0:\t64 MiB
drm-shared-vram0:\t0
drm-resident-vram0:\t48 MiB
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def card(root: Path, number: int, pci: str, vendor: str, driver: str) -> Path:
    device = root / "sys/bus/pci/devices" / pci
    write(device / "vendor", vendor)
    write(device / "device", "0x744c")
    write(device / "class", "0x030000")
    folder = root / f"sys/class/drm/card{number}"
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(device)
    (root / "sys/module" / driver).mkdir(parents=True)
    (device / "driver").symlink_to(root / "sys/module" / driver)
    write(root / f"dev/dri/card{number}", "")
    write(root / f"dev/dri/renderD{128 + number}", "")
    return device


def client(root: Path, pid: int, descriptor: int, fdinfo: str, node: str = "/dev/dri/renderD128") -> None:
    folder = root / f"proc/{pid}"
    (folder / "fd").mkdir(parents=True, exist_ok=True)
    (folder / "fd" / str(descriptor)).symlink_to(node)
    write(folder / "fdinfo" / str(descriptor), fdinfo)


@pytest.fixture
def amd(tmp_path: Path) -> Path:
    device = card(tmp_path, 0, "0000:03:00.0", "0x1002", "amdgpu")
    write(device / "mem_info_vram_total", str(8192 * MIB))
    write(device / "mem_info_vram_used", str(512 * MIB))
    write(device / "product_name", "Radeon Test")
    write(tmp_path / "dev/kfd", "")
    write(tmp_path / "usr/lib/libamdhip64.so", "")
    return tmp_path


def test_amd_memory_by_process_from_fdinfo(amd: Path) -> None:
    # Descriptors 4 and 5 are one client (dup, or inherited); 6 is another.
    client(amd, 100, 4, AMDGPU_FDINFO.format(client=1, kib=1024))
    client(amd, 100, 5, AMDGPU_FDINFO.format(client=1, kib=1024))
    client(amd, 100, 6, AMDGPU_FDINFO.format(client=2, kib=2048))
    client(amd, 200, 3, "pos:\t0\n", "/dev/null")
    report = gpus(System(amd, None, ()))
    (device,) = report.devices
    assert (device.vendor, device.name, device.pci, device.driver) == (
        "AMD", "Radeon Test", "0000:03:00.0", "amdgpu",
    )  # fmt: skip
    assert (device.total_bytes, device.used_bytes, device.free_bytes) == (8192 * MIB, 512 * MIB, 7680 * MIB)
    assert device.processes == (DeviceProcess(100, 100, 3 * MIB, "fdinfo"),)
    assert not device.only_device_total
    assert report.reasons == ()
    assert report.nodes == ("/dev/kfd", "/dev/dri/card0", "/dev/dri/renderD128")


def test_rocm_memory_by_process_from_kfd(amd: Path) -> None:
    node = amd / "sys/class/kfd/kfd/topology/nodes/1"
    write(node / "gpu_id", "4711")
    write(node / "properties", "simd_count 10\nlocation_id 768\ndomain 0")
    write(amd / "sys/class/kfd/kfd/proc/300/vram_4711", str(100 * MIB))
    (device,) = gpus(System(amd, None, ())).devices
    assert device.processes == (DeviceProcess(300, 300, 100 * MIB, "kfd"),)


def test_without_a_visible_process_it_is_the_devices_total(amd: Path) -> None:
    (device,) = gpus(System(amd, None, ())).devices
    assert device.processes == ()
    assert device.only_device_total


def test_intel_counts_what_is_resident_on_the_device(tmp_path: Path) -> None:
    card(tmp_path, 1, "0000:00:02.0", "0x8086", "xe")
    client(tmp_path, 7, 3, XE_FDINFO)
    (device,) = gpus(System(tmp_path, None, ())).devices
    assert (device.vendor, device.name, device.driver) == ("Intel", "Intel 0x744c", "xe")
    assert (device.total_bytes, device.used_bytes, device.free_bytes) == (None, None, None)
    assert device.processes == (DeviceProcess(7, 7, 48 * MIB, "fdinfo"),)


def test_fdinfo_of_something_else_is_no_client() -> None:
    assert parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t9\n", 1) is None
    assert parse_fdinfo("drm-pdev:\t0000:03:00.0\ndrm-memory-vram:\tgarbage KiB\n", 1) is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/nvidia0", True),
        ("/dev/nvidiactl", True),
        ("/dev/nvidia-uvm", True),
        ("/dev/nvidia-caps/nvidia-cap1", True),
        ("/dev/kfd", True),
        ("/dev/dri/renderD128", True),
        ("/dev/null", False),
        ("/home/me/dev/nvidia0", False),
    ],
)
def test_which_paths_are_driver_files(path: str, expected: bool) -> None:
    assert is_driver_file(path) is expected


def test_driver_files_open_and_mapped(tmp_path: Path) -> None:
    client(tmp_path, 50, 7, "", "/dev/nvidia0")
    client(tmp_path, 50, 3, "", "/dev/nvidia0")
    client(tmp_path, 50, 4, "", "/dev/nvidiactl")
    maps = "1000-3000 rw-s 00000000 00:05 9   /dev/nvidia0\n8000-9000 rw-s 00000000 00:05 9   /dev/nvidia0\n"
    write(tmp_path / "proc/50/maps", maps + "9000-a000 r--p 00000000 00:05 9   /usr/lib/libc.so")
    assert driver_files(50, System(tmp_path)) == (
        DriverFile("/dev/nvidia0", (3, 7), 0x3000),
        DriverFile("/dev/nvidiactl", (4,), 0),
    )
    assert driver_files(51, System(tmp_path)) == ()


def codes(root: Path, backends: tuple[str, ...] | None = None) -> set[str]:
    return {reason.code for reason in gpus(System(root, None, ()), backends).reasons}


def test_no_gpu_at_all_is_said_with_what_to_do(tmp_path: Path) -> None:
    report = gpus(System(tmp_path, None, ()))
    assert report.devices == ()
    (reason,) = report.reasons
    assert reason.code == "no-device"
    assert "PCI bus" in reason.message
    assert "--gpus all" in reason.remedy


def test_a_gpu_on_the_bus_without_driver_nodes_or_library(tmp_path: Path) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    write(device / "class", "0x030200")
    write(device / "vendor", "0x10de")
    assert {"no-driver", "no-device-node", "no-library"} <= codes(tmp_path)
    write(tmp_path / "sys/module/nvidia/version", "570.1")
    write(tmp_path / "dev/nvidiactl", "")
    assert not {"no-driver", "no-device-node"} & codes(tmp_path)
    write(tmp_path / "usr/lib64/libcuda.so.1", "")
    assert "no-library" not in {reason.code for reason in why.reasons(System(tmp_path, None, ()))}


def test_an_engine_without_the_backend_is_the_reason(amd: Path) -> None:
    assert codes(amd, ("CPU", "ROCm0")) == set()
    assert codes(amd, ("CPU", "RPC")) == {"engine-without-backend"}
    (reason,) = gpus(System(amd, None, ()), ("CPU",)).reasons
    assert "CMAKE_ARGS=-DGGML_HIP=ON" in reason.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_device_node_that_may_not_be_opened(amd: Path) -> None:
    (amd / "dev/kfd").chmod(0)
    assert codes(amd) == {"no-permission"}


def test_this_machine_is_looked_at_without_an_error() -> None:
    report = gpus()
    assert report.devices or report.reasons or report.nodes
