"""What a benchmark ran on: engine, machine, versions."""

from __future__ import annotations

import dataclasses

from llamactl.bench.measure import machine
from llamactl.bench.measure.counters import Counters
from llamactl.bench.options import Options
from llamactl.bench.report import Environment
from llamactl.engine import devices, system_info
from llamactl.run.facts import versions


def environment(counters: Counters, options: Options) -> Environment:
    """Return the environment of this process."""
    found, known = devices(), versions()
    others = [device for device in found if device.type != "cpu"]
    return Environment(
        build_commit=known.engine_commit,
        engine=system_info(),
        cpu_info=", ".join(device.description for device in found if device.type == "cpu"),
        gpu_info=", ".join(device.description for device in others),
        backends=",".join(dict.fromkeys(device.backend for device in others)) or "CPU",
        versions={name: str(value) for name, value in dataclasses.asdict(known).items()},
        machine=machine.facts(),
        missing=dict(counters.missing),
        options=dataclasses.asdict(options),
    )
