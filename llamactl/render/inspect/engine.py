"""Binding, engine, ABI check, Python and GPU of a process as text."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.process.engine.abi import AbiCheck
from llamactl.process.engine.binding import Binding
from llamactl.process.engine.engine_files import EngineFile
from llamactl.process.engine.interfaces import shown
from llamactl.process.python.python import Python
from llamactl.render.columns import columns, wrapped
from llamactl.render.units import size
from llamactl.snapshot.process.gpu_use import GpuUse


def engine_lines(binding: Binding | None, engine: Sequence[EngineFile] | None) -> list[str]:
    """Return the way from Python to the engine, and the engine's files with why they are from there."""
    if binding is None:
        return []
    name = " ".join(filter(None, (binding.name, binding.version)))
    through = f" through {shown(binding.interface)}" if binding.files else ""
    lines = wrapped(f"Binding: {name}{through}; {binding.evidence}", first="", rest="  ")
    for file in engine or ():
        version = " ".join(filter(None, (file.version, f"({file.commit})" if file.commit else None)))
        title = f"{file.holds} inside" if file.kind == "static" else file.kind
        lines += wrapped(f"{title} {version or '(version not told)'}, build {file.build_id or 'unknown'}")
        lines += wrapped(f"{file.path}: {file.found_by}", first="    ", rest="      ")
        if file.cpu_features is not None:
            lines += wrapped(
                f"uses {' '.join(file.cpu_features) or 'no extensions'}", first="    ", rest="      "
            )
    return lines


def abi_lines(check: AbiCheck | None) -> list[str]:
    """Return the ABI check: a line when all fits, one per difference when not."""
    if check is None:
        return []
    if check.status == "unknown":
        return wrapped(f"ABI: unknown; {check.reason}", first="", rest="  ")
    names = f"{check.module} ({check.kind}) and engine {check.engine_version}"
    lines = wrapped(
        f"ABI: {check.status}; {len(check.structs)} structs of {names} compared", first="", rest="  "
    )
    for struct in check.structs:
        for difference in struct.differences:
            only = f" (only {struct.only_for} uses it)" if struct.only_for else ""
            lines += wrapped(f"{struct.name}{only}: {difference}")
    return lines


def python_lines(python: Python | None) -> list[str]:
    """Return which Python it is."""
    if python is None:
        return []
    kind = {True: "free-threaded", False: "with GIL", None: "GIL unknown"}[python.free_threaded]
    place = "virtual environment" if python.virtual_environment else "installation"
    facts = [
        f"Python {python.version} {kind}, the GIL is {python.gil}"
        if python.free_threaded
        else f"Python {python.version} {kind}"
    ]
    facts += [f"interpreter {python.interpreter}"] if python.interpreter else []
    facts += [f"{place} {python.prefix}"] if python.prefix else []
    return wrapped(", ".join(facts), first="", rest="  ")


def gpu_lines(gpu: GpuUse | None) -> list[str]:
    """Return what it uses of GPUs, or why nothing."""
    if gpu is None:
        return []
    if not gpu.devices and not gpu.driver_files:
        lines = [f"GPU: none, but in software by {', '.join(gpu.software)}" if gpu.software else "GPU: none"]
    else:
        rows = [
            (device.vendor, "device total only" if device.only_device_total else size(device.process_bytes),
             size(device.used_bytes), size(device.total_bytes), device.name)
            for device in gpu.devices
        ]  # fmt: skip
        lines = [
            "GPU",
            *columns(("vendor", "this process", "in use", "memory", "device"), rows, right="lrrrl"),
        ]
    if gpu.backends is not None:
        lines += wrapped(f"backends of the engine: {', '.join(gpu.backends) or 'none'}")
    for file in gpu.driver_files:
        lines += wrapped(
            f"{file.path}: {len(file.descriptors)} descriptors, {size(file.mapped_bytes)} mapped"
        )
    if gpu.software:
        lines += wrapped("memory of a device in software is this process's own; no driver counts it apart")
    if gpu.software or any(device.process_bytes for device in gpu.devices):
        lines += wrapped(
            "what of it is weights, KV cache and work space isn't seen from outside: llamactl trace and run --json tell"
        )
    for reason in gpu.reasons:
        lines += wrapped(f"{reason.message}. {reason.remedy}")
    return lines
