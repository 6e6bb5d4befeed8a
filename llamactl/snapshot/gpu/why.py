"""Why no GPU is there or used: each place where it can be lost, from the bus to the engine."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from llamactl.process.small_files import read_text
from llamactl.snapshot.gpu.facts import Reason
from llamactl.snapshot.gpu.system import System


class Stack(NamedTuple):
    """What must be there for a vendor's GPU to be used."""

    vendor: str
    pci_vendor: str
    modules: tuple[str, ...]
    nodes: tuple[str, ...]
    library: str
    backends: tuple[str, ...]
    option: str


STACKS: Final = (
    Stack("NVIDIA", "0x10de", ("nvidia",), ("dev/nvidiactl",), "libcuda.so.1", ("CUDA",), "CUDA"),
    Stack("AMD", "0x1002", ("amdgpu",), ("dev/kfd", "dev/dri"), "libamdhip64.so", ("ROCm", "HIP"), "HIP"),
    Stack("Intel", "0x8086", ("i915", "xe"), ("dev/dri",), "libze_loader.so.1", ("SYCL",), "SYCL"),
)
_ANY_GPU: Final = ("Vulkan",)
_FOLDERS: Final = (
    "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "lib64",
    "usr/local/cuda/lib64", "usr/local/nvidia/lib64", "opt/rocm/lib", "usr/lib/wsl/lib",
)  # fmt: skip


def reasons(system: System, engine_backends: tuple[str, ...] | None = None) -> tuple[Reason, ...]:
    """Return what keeps each GPU of the bus from being used; one reason if the bus has none.

    Args:
        system: The machine.
        engine_backends: Names of the engine's backends; None if they aren't known.
    """
    present = [stack for stack in STACKS if is_present(system, stack.vendor)]
    found: list[Reason] = []
    for stack in present:
        found += _lost(system, stack, engine_backends)
    if not present and not any(system.path(node).exists() for stack in STACKS for node in stack.nodes):
        found.append(_no_device(system))
    return tuple(found)


def is_present(system: System, vendor: str) -> bool:
    """Tell whether the bus or /dev shows something of a vendor."""
    stack = next(stack for stack in STACKS if stack.vendor == vendor)
    if stack.nodes[0] != "dev/dri" and system.path(stack.nodes[0]).exists():
        return True
    return stack.pci_vendor in _display_vendors(system)


def _no_device(system: System) -> Reason:
    if not system.listing("sys/bus/pci/devices"):
        message = "no PCI bus is visible and there is no device node of a GPU driver in /dev"
    else:
        message = "no GPU on the PCI bus and no device node of a GPU driver in /dev"
    remedy = "A container or virtual machine must be given the GPU: --gpus all, --device, or passthrough."
    return Reason("no-device", "", message, remedy)


def _display_vendors(system: System) -> set[str]:
    """Return the vendors of display controllers and accelerators (PCI classes 03 and 12)."""
    found = set()
    for device in system.listing("sys/bus/pci/devices"):
        if (read_text(device / "class") or "")[:4] in ("0x03", "0x12"):
            found.add(read_text(device / "vendor") or "")
    return found


def _lost(system: System, stack: Stack, engine_backends: tuple[str, ...] | None) -> list[Reason]:
    found = []
    if not any(system.path(f"sys/module/{module}").exists() for module in stack.modules):
        names = " or ".join(stack.modules)
        remedy = f"Install the driver and load it: modprobe {stack.modules[0]}."
        found.append(Reason("no-driver", stack.vendor, f"the kernel driver {names} isn't loaded", remedy))
    found += _node_reasons(system, stack)
    if not _library(system, stack.library):
        remedy = "Install the vendor's libraries; in a container, use the vendor's runtime."
        found.append(Reason("no-library", stack.vendor, f"{stack.library} isn't found", remedy))
    usable = (*stack.backends, *_ANY_GPU)
    if engine_backends is not None and not any(_same(name, engine_backends) for name in usable):
        message = f"this engine has no backend for it (built with {', '.join(engine_backends) or 'none'})"
        remedy = f"Build llamactl for it: CMAKE_ARGS=-DGGML_{stack.option}=ON pip install ."
        found.append(Reason("engine-without-backend", stack.vendor, message, remedy))
    return found


def _node_reasons(system: System, stack: Stack) -> list[Reason]:
    for node in stack.nodes:
        path = system.path(node)
        if not path.exists():
            remedy = f"In a container, pass it in: --device /{node}."
            return [Reason("no-device-node", stack.vendor, f"/{node} isn't there", remedy)]
        if not path.is_dir() and not os.access(path, os.R_OK | os.W_OK):
            remedy = "Join the group that owns it (render, video)."
            return [Reason("no-permission", stack.vendor, f"/{node} may not be opened by this user", remedy)]
    return []


def _same(backend: str, names: tuple[str, ...]) -> bool:
    return any(name.upper().startswith(backend.upper()) for name in names)


def _library(system: System, name: str) -> bool:
    folders = [*(system.path(folder) for folder in system.library_path), *map(system.path, _FOLDERS)]
    return any(any(folder.glob(f"{name}*")) for folder in folders if folder.is_dir())
