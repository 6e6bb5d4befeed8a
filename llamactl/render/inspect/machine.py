"""This machine as text of 80 columns, and as a JSON document."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from llamactl.render.columns import wrapped
from llamactl.render.document import document, plain
from llamactl.render.inspect.version import NAME, VERSION
from llamactl.render.units import seconds, size
from llamactl.snapshot.gpu.facts import Device, GpuReport
from llamactl.snapshot.host.abilities import YES, Ability
from llamactl.snapshot.host.cpu import Cpu, FeatureUse
from llamactl.snapshot.host.machine import EngineDevice, Machine
from llamactl.snapshot.host.memory import Memory
from llamactl.snapshot.rpc import RpcServer

SECTIONS: Final = ("cpu", "memory", "kernel", "gpu", "engine", "python", "rpc")


_FIELDS: Final = {
    "cpu": ("cpu", "features"),
    "memory": ("memory",),
    "kernel": ("kernel", "surroundings", "abilities"),
    "gpu": ("gpu",),
    "engine": ("engine", "engine_problem"),
    "python": ("python",),
    "rpc": ("rpc",),
}


def machine_document(machine: Machine, only: Collection[str] = ()) -> dict[str, Any]:
    """Return this machine as the document of ``inspect-machine.schema.json``.

    Args:
        machine: The machine.
        only: Names of :data:`SECTIONS`, whose fields alone are in it; empty for all.
    """
    facts = plain(machine)
    facts["cpu"]["flags"] = sorted(machine.cpu.flags)
    kept = {name for section in only or SECTIONS for name in _FIELDS[section]}
    shown = {name: value for name, value in facts.items() if name in kept}
    return document(NAME, VERSION, {"kind": "machine", "machine": shown})


def machine_text(machine: Machine, only: Collection[str] = ()) -> str:
    """Return this machine as text.

    Args:
        machine: The machine.
        only: Names of :data:`SECTIONS`; empty for all.
    """
    blocks = {
        "cpu": _cpu(machine.cpu, machine.features),
        "memory": _memory(machine.memory),
        "kernel": _kernel(machine),
        "gpu": _gpu(machine.gpu),
        "engine": _engine(machine),
        "python": _python(machine),
        "rpc": _rpc(machine.rpc) or (["rpc: none asked (--rpc HOST:PORT asks)"] if "rpc" in only else []),
    }
    chosen = [block for name, block in blocks.items() if block and (not only or name in only)]
    return "\n\n".join("\n".join(block) for block in chosen) + "\n"


def _row(name: str, value: str) -> list[str]:
    return wrapped(value, first=f"  {name:<14} ", rest=" " * 17)


def _cpu(cpu: Cpu, features: tuple[FeatureUse, ...]) -> list[str]:
    lines = [f"cpu: {cpu.model or 'unknown model'}, {cpu.architecture}"]
    lines += _row("CPUs", f"{cpu.logical or 'unknown'}{_cores(cpu)}")
    lines += _row("may use", f"{len(cpu.affinity)} by affinity; budget of threads: {cpu.budget}")
    if cpu.budget.quota_source:
        lines += _row("quota", f"{cpu.budget.quota_cpus:g} CPUs by {cpu.budget.quota_source}")
    for node in cpu.numa if len(cpu.numa) > 1 else ():
        memory = f"{size(node.free_bytes)} free of {size(node.total_bytes)}"
        lines += _row(f"NUMA node {node.number}", f"{len(node.cpus)} CPUs, {memory}")
    if cpu.governor:
        lines += _row("clock", f"governor {cpu.governor}")
    used = [use.name for use in features if use.engine]
    lines += _row("features", ", ".join(used or [use.name for use in features]) or "none known")
    missed = [use.name for use in features if use.missed]
    if missed:
        text = f"the CPU has {', '.join(missed)}, which the engine doesn't use. Build it on this machine"
        lines += wrapped(f"{text} (GGML_NATIVE=ON) for more speed.", first="  ! ")
    return lines


def _cores(cpu: Cpu) -> str:
    """What is behind the CPUs."""
    if cpu.physical_cores is None or cpu.threads_per_core is None:
        return "; on how many cores and sockets is unknown (no topology in /sys or /proc/cpuinfo)"
    smt = f"{cpu.threads_per_core} threads per core" if cpu.threads_per_core > 1 else "no SMT"
    sockets = "1 socket" if cpu.sockets == 1 else f"{cpu.sockets} sockets"
    return f" on {cpu.physical_cores} cores, {smt}, {sockets}"


def _memory(memory: Memory) -> list[str]:
    lines = [f"memory: {size(memory.total_bytes)}"]
    lines += _row("available", f"{size(memory.available_bytes)}; page cache {size(memory.page_cache_bytes)}")
    if memory.group:
        text = f"{size(memory.group.limit_bytes)}, headroom {size(memory.group.headroom_bytes)}"
        lines += _row("group limit", f"{text} ({memory.group.source})")
    swap = f"{size(memory.swap_free_bytes)} free of {size(memory.swap_total_bytes)}"
    lines += _row("swap", swap if memory.swap_total_bytes else "none")
    pages = memory.huge_pages
    reserved = f"{pages.reserved} reserved" if pages.reserved else "none reserved"
    transparent = "not in this kernel" if pages.transparent == "absent" else pages.transparent or "unknown"
    lines += _row("huge pages", f"transparent: {transparent}; {reserved}")
    locked = "no limit" if memory.memlock_bytes is None else f"at most {size(memory.memlock_bytes)}"
    lines += _row("may lock", f"{locked} (mlock)")
    return lines


def _kernel(machine: Machine) -> list[str]:
    around = machine.surroundings
    place = (
        f"in a container ({around.container}: {around.evidence})" if around.container else "no container seen"
    )
    lines = wrapped(f"kernel: Linux {machine.kernel}, {place}", first="", rest="  ")
    if around.virtual_machine:
        lines += _row("hypervisor", around.virtual_machine)
    for each in machine.abilities:
        lines += _row(each.name, f"{each.state}: {each.evidence}")
    for each in machine.abilities:
        lines += _missing(each)
    return lines


def _missing(ability: Ability) -> list[str]:
    if ability.state == YES:
        return []
    return wrapped(f"{ability.name}: {ability.cost}. {ability.remedy}", first="  ! ")


def _gpu(report: GpuReport) -> list[str]:
    lines = [f"gpu: {len(report.devices) or 'none'}"]
    for device in report.devices:
        lines += _device(device)
    for reason in report.reasons:
        vendor = f"{reason.vendor}: " if reason.vendor else ""
        lines += wrapped(f"{vendor}{reason.message}. {reason.remedy}", first="  ! ")
    if report.nodes:
        lines += _row("device files", ", ".join(report.nodes))
    return lines


def _device(device: Device) -> list[str]:
    facts = [device.name, device.driver or "driver unknown", device.pci or "place unknown"]
    memory = f"{size(device.used_bytes)} used of {size(device.total_bytes)}"
    if device.only_device_total:
        memory += ", the whole device's; by process it can't be told here"
    lines = wrapped(", ".join(facts)) + _row("  memory", memory)
    for process in device.processes:
        number = f"process {process.pid}" if process.pid else f"process {process.driver_pid} of the host"
        lines += _row("", f"{number}: {size(process.memory_bytes)} ({process.source})")
    return lines


def _engine(machine: Machine) -> list[str]:
    engine = machine.engine
    if engine is None:
        return wrapped(f"engine: {machine.engine_problem or 'not asked'}", first="", rest="  ")
    lines = [f"engine: llama.cpp {engine.version} ({engine.commit}), ggml {engine.ggml}"]
    lines += _row("backends", ", ".join(engine.backends) or "none")
    for device in engine.devices:
        lines += _row("device", f"{device.name}: {device.description}, {device.backend}, {_free(device)}")
    return lines


def _free(device: EngineDevice) -> str:
    return f"{size(device.memory_free_bytes)} free of {size(device.memory_total_bytes)}"


def _python(machine: Machine) -> list[str]:
    python = machine.python
    gil = "with the GIL" if python.gil else "without the GIL"
    lines = [f"python: {python.implementation} {python.version}, {gil}"]
    lines += _row("interpreter", python.executable)
    if python.virtual_environment:
        lines += _row("environment", python.virtual_environment)
    for binding in python.bindings:
        lines += _row("binding", f"{binding.name} {binding.version} ({binding.interface})")
    if not python.bindings:
        lines += _row("bindings", "none of llama.cpp is installed for it")
    return lines


def _rpc(servers: tuple[RpcServer, ...]) -> list[str]:
    lines = [f"rpc: {len(servers)} asked"] if servers else []
    for server in servers:
        version = f"protocol {server.version or 'unknown'}, round trip {seconds(server.round_trip_ns)}"
        lines += wrapped(f"{server.endpoint}: {version}")
        for device in server.devices:
            memory = f"{size(device.free_bytes)} free of {size(device.total_bytes)}"
            lines += _row(f"  device {device.number}", memory)
        if server.problem:
            lines += wrapped(f"{server.endpoint} {server.problem}", first="  ! ")
    return lines
