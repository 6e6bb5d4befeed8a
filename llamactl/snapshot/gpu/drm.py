"""AMD and Intel through sysfs, KFD and DRM's fdinfo (Documentation/gpu/drm-usage-stats.rst)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from llamactl.process.small_files import read_int, read_text
from llamactl.snapshot.gpu.facts import Device, DeviceProcess, Found
from llamactl.snapshot.gpu.pids import PidMap
from llamactl.snapshot.gpu.system import System

_UNITS: Final = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_ON_DEVICE: Final = ("vram", "local")
"""How the names of memory regions on the device begin; the others (gtt, system) are the machine's memory."""


def look_amd(system: System) -> Found:
    """Return AMD's devices; no driver library is needed for that."""
    return Found(tuple(_devices(system, "AMD", "0x1002")))


def look_intel(system: System) -> Found:
    """Return Intel's devices. Their drivers tell memory by process, but no total."""
    return Found(tuple(_devices(system, "Intel", "0x8086")))


def _devices(system: System, vendor: str, vendor_id: str) -> list[Device]:
    cards = [card for card in system.listing("sys/class/drm") if card.name[4:].isdigit()]
    mine = [card / "device" for card in cards if read_text(card / "device/vendor") == vendor_id]
    if not mine:
        return []
    clients = _clients(system)
    kfd = _kfd_processes(system)
    return [_device(vendor, folder, clients, kfd) for folder in mine]


class _Client(NamedTuple):
    """One opened device of one process."""

    pci: str
    pid: int
    number: str
    memory_bytes: int


_KfdProcesses: TypeAlias = "list[tuple[str, DeviceProcess]]"
"""With the PCI address of the device."""


def _device(vendor: str, folder: Path, clients: list[_Client], kfd: _KfdProcesses) -> Device:
    pci = folder.resolve().name
    total = read_int(folder / "mem_info_vram_total")
    used = read_int(folder / "mem_info_vram_used")
    driver = _link_name(folder / "driver")
    by_kfd = {process.driver_pid: process for address, process in kfd if address == pci}
    processes = list(by_kfd.values())
    known = {process.pid for process in processes}
    processes += [process for process in _by_process(clients, pci) if process.pid not in known]
    return Device(
        vendor=vendor,
        name=read_text(folder / "product_name") or f"{vendor} {read_text(folder / 'device') or 'GPU'}",
        pci=pci,
        driver=driver,
        total_bytes=total,
        used_bytes=used,
        free_bytes=None if total is None or used is None else total - used,
        processes=tuple(processes),
        only_device_total=not processes and bool(used),
    )


def _by_process(clients: list[_Client], pci: str) -> list[DeviceProcess]:
    """Add up the clients of each process; a client that several descriptors share counts once."""
    memory: dict[int, int] = defaultdict(int)
    for client in set(clients):
        if client.pci == pci:
            memory[client.pid] += client.memory_bytes
    return [DeviceProcess(pid, pid, used, "fdinfo") for pid, used in sorted(memory.items())]


def _clients(system: System) -> list[_Client]:
    """Go through the processes that this user may look into."""
    found = []
    for folder in system.listing("proc"):
        if folder.name.isdigit():
            for descriptor in _gpu_descriptors(folder / "fd"):
                text = read_text(folder / "fdinfo" / descriptor) or ""
                client = parse_fdinfo(text, int(folder.name))
                found += [client] if client else []
    return found


def _gpu_descriptors(folder: Path) -> list[str]:
    try:
        return [link.name for link in folder.iterdir() if (_link(link) or "").startswith("/dev/dri/")]
    except OSError:
        return []


def parse_fdinfo(text: str, pid: int) -> _Client | None:
    """Read ``/proc/PID/fdinfo/N`` of a DRM device, None if it is of something else."""
    fields = dict(line.split(":", 1) for line in text.split("\n") if ":" in line)
    pci = fields.get("drm-pdev", "").strip()
    if not pci:
        return None
    memory: dict[str, dict[str, int]] = defaultdict(dict)
    for key, value in fields.items():
        measure, _, region = key.removeprefix("drm-").partition("-")
        if measure in ("resident", "memory", "total") and region.startswith(_ON_DEVICE):
            memory[region][measure] = _in_bytes(value)
    # "memory" is the older name of "resident"; "total" also counts what was moved off the device.
    used = sum(sizes.get("resident", sizes.get("memory", sizes.get("total", 0))) for sizes in memory.values())
    return _Client(pci, pid, fields.get("drm-client-id", "").strip(), used)


def _in_bytes(value: str) -> int:
    number, _, unit = value.strip().partition(" ")
    return int(number) * _UNITS.get(unit.strip(), 1) if number.isdigit() else 0


def _kfd_processes(system: System) -> _KfdProcesses:
    """Read what ROCm's processes hold, by PCI address: ``/sys/class/kfd/kfd/proc/PID/vram_GPU``."""
    addresses = _kfd_addresses(system)
    pids = PidMap(system)
    found = []
    for folder in system.listing("sys/class/kfd/kfd/proc"):
        for file in sorted(folder.glob("vram_*")):
            address = addresses.get(file.name.removeprefix("vram_"))
            if folder.name.isdigit() and address:
                pid = int(folder.name)
                found.append((address, DeviceProcess(pids.own(pid), pid, read_int(file), "kfd")))
    return found


def _kfd_addresses(system: System) -> dict[str, str]:
    """Return the PCI address of each ``gpu_id`` of KFD's topology."""
    found = {}
    for node in system.listing("sys/class/kfd/kfd/topology/nodes"):
        gpu_id = read_text(node / "gpu_id")
        lines = (read_text(node / "properties") or "").split("\n")
        properties = dict(line.split(maxsplit=1) for line in lines if " " in line)
        if gpu_id and gpu_id != "0" and properties.get("location_id", "").isdigit():
            place, domain = int(properties["location_id"]), int(properties.get("domain", "0"))
            found[gpu_id] = f"{domain:04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7:x}"
    return found


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _link_name(path: Path) -> str | None:
    target = _link(path)
    return Path(target).name if target else None
