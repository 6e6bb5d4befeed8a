"""All vendors asked, and one report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llamactl.snapshot.gpu import driver_files, drm, nvidia, why
from llamactl.snapshot.gpu.facts import Found, GpuReport
from llamactl.snapshot.gpu.system import System

VENDORS: Final[dict[str, Callable[[System], Found]]] = {
    "NVIDIA": nvidia.look,
    "AMD": drm.look_amd,
    "Intel": drm.look_intel,
}
"""A vendor is one function here, and one row of ``why.STACKS``."""


def gpus(system: System | None = None, engine_backends: tuple[str, ...] | None = None) -> GpuReport:
    """Return the GPUs of this machine and why those that should be there aren't.

    Args:
        system: The machine; None for this one.
        engine_backends: Names of the engine's backends (``CPU``, ``CUDA``, …), which tell whether a GPU
            that is there is used; None if they aren't known.
    """
    system = system or System()
    parts = [look(system) for look in VENDORS.values()]
    devices = tuple(device for part in parts for device in part.devices)
    reasons = list(why.reasons(system, engine_backends))
    if devices:
        reasons = [reason for reason in reasons if reason.code != "no-device"]
    for part in parts:
        known = {(reason.vendor, reason.code) for reason in reasons}
        reasons += [reason for reason in part.reasons if (reason.vendor, reason.code) not in known]
    return GpuReport(devices, tuple(reasons), driver_files.nodes(system))
