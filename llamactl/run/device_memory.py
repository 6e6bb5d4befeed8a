"""What this process holds on devices: the engine's buffers against the driver's count."""

from __future__ import annotations

import os

from llamactl.engine import Context, devices
from llamactl.snapshot.gpu.account import DeviceAccount, Held, accounts

GPUS = frozenset({"gpu", "igpu", "accel"})


def held_on_devices(context: Context) -> list[Held]:
    """Return the buffers of a context and its model that lie in a device's own memory; none on a worker's."""
    known = {one.name: one for one in devices() if one.type in GPUS and one.backend != "RPC"}
    sums: dict[str, list[int]] = {}
    for row in context.memory():
        if row.device in known and not row.is_host:
            sizes = sums.setdefault(row.device, [0, 0, 0])
            for index, size in enumerate((row.model_bytes, row.context_bytes, row.compute_bytes)):
                sizes[index] += size
    return [Held(name, known[name].pci, *sizes) for name, sizes in sums.items() if any(sizes)]


def device_memory(context: Context) -> tuple[DeviceAccount, ...]:
    """Return one row for each device with buffers; the drivers are asked only where there is one."""
    held = held_on_devices(context)
    if not held:
        return ()
    from llamactl.snapshot.gpu.look import gpus

    return accounts(held, os.getpid(), gpus().devices)
