"""NVIDIA through NVML (``nvidia-ml-py``, the optional extra ``nvidia``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llamactl.remedy import install
from llamactl.snapshot.gpu import why
from llamactl.snapshot.gpu.facts import Device, DeviceProcess, Found, Reason
from llamactl.snapshot.gpu.pids import PidMap
from llamactl.snapshot.gpu.system import System

VENDOR = "NVIDIA"


def look(system: System) -> Found:
    """Return the devices that NVML names, or why it names none."""
    if system.nvml is None and not why.is_present(system, VENDOR):
        return Found()
    nvml = system.nvml or _imported()
    if nvml is None:
        message = "the Python package nvidia-ml-py isn't installed, so NVML can't be asked"
        return Found(reasons=(Reason("no-extra", VENDOR, message, install("nvidia-ml-py")),))
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Found(reasons=(_init_failed(nvml, error),))
    try:
        pids = PidMap(system)
        count = _ask(nvml, 0, nvml.nvmlDeviceGetCount)
        return Found(tuple(_device(nvml, index, pids) for index in range(count)))
    finally:
        nvml.nvmlShutdown()


def _imported() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _init_failed(nvml: Any, error: Exception) -> Reason:
    if isinstance(error, nvml.NVMLError_LibraryNotFound):
        message = "libnvidia-ml.so.1 isn't found"
        remedy = "Install the driver's libraries; a container gets them with --gpus all."
        return Reason("no-library", VENDOR, message, remedy)
    if isinstance(error, nvml.NVMLError_DriverNotLoaded):
        return Reason("no-driver", VENDOR, "the kernel driver isn't loaded", "Load it: modprobe nvidia.")
    return Reason("driver-failed", VENDOR, f"NVML doesn't start: {error}", "Look in the kernel's log: dmesg.")


def _ask(nvml: Any, default: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    """Ask one thing; what a device doesn't support or this user may not know is the default."""
    try:
        return question(*arguments)
    except nvml.NVMLError:
        return default


def _device(nvml: Any, index: int, pids: PidMap) -> Device:
    handle = _ask(nvml, None, nvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return Device(VENDOR, f"device {index}, not accessible", None, None, None, None, None, (), True)
    memory = _ask(nvml, None, nvml.nvmlDeviceGetMemoryInfo, handle)
    pci = _ask(nvml, None, nvml.nvmlDeviceGetPciInfo, handle)
    processes = _processes(nvml, handle, pids)
    version = _text(_ask(nvml, None, nvml.nvmlSystemGetDriverVersion))
    return Device(
        vendor=VENDOR,
        name=_text(_ask(nvml, None, nvml.nvmlDeviceGetName, handle)) or f"device {index}",
        pci=_pci_address(_text(pci.busId)) if pci else None,
        driver=f"nvidia {version}" if version else None,
        total_bytes=memory.total if memory else None,
        used_bytes=memory.used if memory else None,
        free_bytes=memory.free if memory else None,
        processes=processes,
        only_device_total=pids.in_container and not any(process.pid for process in processes),
    )


def _processes(nvml: Any, handle: Any, pids: PidMap) -> tuple[DeviceProcess, ...]:
    found = {}
    for question in (nvml.nvmlDeviceGetGraphicsRunningProcesses, nvml.nvmlDeviceGetComputeRunningProcesses):
        for process in _ask(nvml, (), question, handle):
            found[process.pid] = process.usedGpuMemory
    return tuple(DeviceProcess(pids.own(pid), pid, used, "nvml") for pid, used in sorted(found.items()))


def _pci_address(bus_id: str | None) -> str | None:
    """``00000000:01:00.0`` as the kernel writes it."""
    return bus_id[-12:].lower() if bus_id else None


def _text(value: Any) -> str | None:
    """Older versions of the package return bytes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
