"""NVIDIA's part on an NVML that the test plays."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from llamactl.snapshot.gpu import nvidia
from llamactl.snapshot.gpu.facts import DeviceProcess
from llamactl.snapshot.gpu.look import gpus
from llamactl.snapshot.gpu.pids import INITIAL_NAMESPACE
from llamactl.snapshot.gpu.system import System

GIB = 1 << 30


class FakeNvml:
    """One device with 24 GiB and two processes; ``refused`` names functions that it doesn't support."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818
        pass

    class NVMLError_DriverNotLoaded(NVMLError):  # noqa: N801, N818
        pass

    def __init__(self, refused: tuple[str, ...] = (), init: type[Exception] | None = None) -> None:
        self.refused = refused
        self.init = init
        self.running = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init:
            raise self.init("it failed")
        self.running += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.running -= 1

    def _answer(self, name: str, value: object) -> object:
        if name in self.refused:
            raise self.NVMLError("Not Supported")
        return value

    def __getattr__(self, name: str) -> object:
        answers: dict[str, object] = {
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": b"NVIDIA Test 4711",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24 * GIB, used=3 * GIB, free=21 * GIB),
            "nvmlDeviceGetPciInfo": SimpleNamespace(busId="00000000:0A:00.0"),
            "nvmlSystemGetDriverVersion": "570.1",
            "nvmlDeviceGetComputeRunningProcesses": [
                SimpleNamespace(pid=5000, usedGpuMemory=2 * GIB),
                SimpleNamespace(pid=5001, usedGpuMemory=None),
            ],
            "nvmlDeviceGetGraphicsRunningProcesses": [],
        }
        if name not in answers:
            raise AttributeError(name)
        return lambda *_: self._answer(name, answers[name])


def process(root: Path, pid: str, namespace: str, nspid: str = "") -> None:
    folder = root / "proc" / pid
    (folder / "ns").mkdir(parents=True)
    (folder / "ns/pid").symlink_to(namespace)
    (folder / "status").write_text(f"Name:\tx\nNSpid:\t{nspid or pid}\n")


def test_a_device_and_its_processes_on_the_host(tmp_path: Path) -> None:
    process(tmp_path, "self", INITIAL_NAMESPACE)
    nvml = FakeNvml()
    report = gpus(System(tmp_path, nvml, ()))
    (device,) = report.devices
    assert (device.vendor, device.name, device.pci) == ("NVIDIA", "NVIDIA Test 4711", "0000:0a:00.0")
    assert (device.total_bytes, device.used_bytes, device.free_bytes) == (24 * GIB, 3 * GIB, 21 * GIB)
    assert device.driver == "nvidia 570.1"
    assert device.processes == (
        DeviceProcess(5000, 5000, 2 * GIB, "nvml"),
        DeviceProcess(5001, 5001, None, "nvml"),
    )
    assert not device.only_device_total
    assert report.reasons == ()
    assert nvml.running == 0


def test_in_a_container_with_the_hosts_proc_the_numbers_are_translated(tmp_path: Path) -> None:
    process(tmp_path, "self", "pid:[17]")
    process(tmp_path, "5000", "pid:[17]", "5000 42")
    process(tmp_path, "5001", INITIAL_NAMESPACE, "5001")
    (device,) = gpus(System(tmp_path, FakeNvml(), ())).devices
    assert [(each.pid, each.driver_pid) for each in device.processes] == [(42, 5000), (None, 5001)]
    assert not device.only_device_total


def test_in_a_container_without_it_only_the_total_is_known(tmp_path: Path) -> None:
    process(tmp_path, "self", "pid:[17]")
    # The same number by chance, which must not be taken for the driver's process.
    process(tmp_path, "5000", "pid:[17]", "5000")
    (device,) = gpus(System(tmp_path, FakeNvml(), ())).devices
    assert [each.pid for each in device.processes] == [None, None]
    assert device.only_device_total
    assert device.used_bytes == 3 * GIB


def test_what_a_device_does_not_tell_is_unknown_not_zero(tmp_path: Path) -> None:
    refused = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetPciInfo", "nvmlSystemGetDriverVersion")
    (device,) = gpus(System(tmp_path, FakeNvml(refused), ())).devices
    assert (device.total_bytes, device.used_bytes, device.pci, device.driver) == (None, None, None, None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FakeNvml.NVMLError_LibraryNotFound, "no-library"),
        (FakeNvml.NVMLError_DriverNotLoaded, "no-driver"),
        (FakeNvml.NVMLError, "driver-failed"),
    ],
)
def test_nvml_that_does_not_start_says_why(error: type[Exception], code: str, tmp_path: Path) -> None:
    report = gpus(System(tmp_path, FakeNvml(init=error), ()))
    assert report.devices == ()
    assert code in {reason.code for reason in report.reasons}


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA device here")
def test_the_real_device_has_memory() -> None:
    pytest.importorskip("pynvml")
    devices = [device for device in gpus().devices if device.vendor == "NVIDIA"]
    assert devices
    assert all(device.total_bytes and device.used_bytes is not None for device in devices)
    assert os.path.exists("/dev/nvidia0")


def test_the_real_package_has_what_is_asked_of_it() -> None:
    pynvml = pytest.importorskip("pynvml")
    asked = set(re.findall(r"nvml\.(nvml\w+|NVML\w+)", inspect.getsource(nvidia)))
    assert len(asked) > 10
    assert [name for name in sorted(asked) if not hasattr(pynvml, name)] == []


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is an NVIDIA device here")
def test_the_real_package_without_a_driver_says_why(tmp_path: Path) -> None:
    pynvml = pytest.importorskip("pynvml")
    found = nvidia.look(System(tmp_path, pynvml, ()))
    assert found.devices == ()
    assert [reason.code for reason in found.reasons] in (["no-library"], ["no-driver"])
