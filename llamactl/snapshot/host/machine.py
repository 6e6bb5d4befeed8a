"""The whole machine in one snapshot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from llamactl.snapshot.gpu.facts import GpuReport
from llamactl.snapshot.gpu.look import gpus
from llamactl.snapshot.host.abilities import Ability, abilities
from llamactl.snapshot.host.container import Surroundings, surroundings
from llamactl.snapshot.host.cpu import Cpu, FeatureUse, cpu, feature_use
from llamactl.snapshot.host.memory import Memory, memory
from llamactl.snapshot.host.python import Python, python
from llamactl.snapshot.rpc import RpcServer, ask


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine says of itself. This room may not ask it; whoever calls :func:`machine` does.

    Attributes:
        version: Of llama.cpp.
        commit: Of llama.cpp.
        ggml: Version of ggml.
        backends: In this build.
        devices: Each as name, description, type, backend and memory.
        cpu_features: As ``llamactl.engine.library.cpu_features()`` returns them.
    """

    version: str
    commit: str
    ggml: str
    backends: tuple[str, ...]
    devices: tuple[EngineDevice, ...]
    cpu_features: dict[str, str]


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device as the engine sees it (the fields of ``llamactl.engine.library.Device``)."""

    name: str
    description: str
    type: str
    backend: str
    memory_total_bytes: int | None
    memory_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine.

    Attributes:
        kernel: Release of Linux.
        cpu: CPUs.
        features: Of the CPU, and whether the engine uses them.
        memory: Memory.
        surroundings: Container or virtual machine.
        abilities: What llamactl may do here.
        gpu: GPUs, and why there are none.
        python: The interpreter and its bindings.
        engine: None if it couldn't be loaded.
        engine_problem: Why it couldn't.
        rpc: Servers of llama.cpp's RPC that were asked for.
    """

    kernel: str
    cpu: Cpu
    features: tuple[FeatureUse, ...]
    memory: Memory
    surroundings: Surroundings
    abilities: tuple[Ability, ...]
    gpu: GpuReport
    python: Python
    engine: EngineFacts | None
    engine_problem: str | None
    rpc: tuple[RpcServer, ...]


def machine(
    engine: EngineFacts | None = None, engine_problem: str | None = None, rpc: Sequence[str] = ()
) -> Machine:
    """Look at this machine.

    Args:
        engine: What the engine says of itself; None if it wasn't or couldn't be asked.
        engine_problem: Why it couldn't.
        rpc: RPC servers to ask, each ``host:port``.
    """
    cpus = cpu()
    return Machine(
        kernel=os.uname().release,
        cpu=cpus,
        features=feature_use(cpus.flags, engine.cpu_features if engine else None),
        memory=memory(),
        surroundings=surroundings(),
        abilities=abilities(),
        gpu=gpus(engine_backends=engine.backends if engine else None),
        python=python(),
        engine=engine,
        engine_problem=engine_problem,
        rpc=tuple(map(ask, rpc)),
    )
