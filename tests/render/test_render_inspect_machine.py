"""A machine as text and as JSON: this one, and one with GPUs, a quota and everything missing."""

from __future__ import annotations

import dataclasses
import json

import jsonschema
import pytest

from llamactl.process.cpu_budget import CpuBudget
from llamactl.render.document import dumps, schema
from llamactl.render.inspect.machine import SECTIONS, machine_document, machine_text
from llamactl.snapshot.gpu.facts import Device, DeviceProcess, GpuReport, Reason
from llamactl.snapshot.host.abilities import Ability
from llamactl.snapshot.host.container import Surroundings
from llamactl.snapshot.host.cpu import NumaNode, feature_use
from llamactl.snapshot.host.machine import EngineDevice, EngineFacts, Machine, machine
from llamactl.snapshot.host.memory import GroupLimit
from llamactl.snapshot.host.python import Binding
from llamactl.snapshot.rpc import RpcDevice, RpcServer

GIB = 1 << 30
GROUP_FILE = "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/pod-0123456789abcdef/memory.max"


@pytest.fixture(scope="session")
def crowded() -> Machine:
    """This machine, with all that can be missing missing."""
    here = machine()
    processes = (DeviceProcess(42, 5000, 2 * GIB, "nvml"), DeviceProcess(None, 5001, None, "nvml"))
    devices = (
        Device(
            "NVIDIA", "NVIDIA Test", "0000:01:00.0", "nvidia 570", 24 * GIB, GIB, 23 * GIB, processes, False
        ),
        Device("AMD", "Radeon \x1b[31mTest", None, None, None, None, None, (), True),
    )
    reason = Reason("engine-without-backend", "NVIDIA", "this engine has no backend for it", "Build it.")
    cpu = dataclasses.replace(
        here.cpu,
        threads_per_core=2,
        budget=CpuBudget(1, 8, 8, 1.5, "/sys/fs/cgroup/cpu.max", "quota"),
        numa=(NumaNode(0, (0, 1), GIB, GIB // 2), NumaNode(1, (2, 3), None, None)),
        governor="powersave",
    )
    cpu_device = EngineDevice("CPU", "A CPU", "cpu", "CPU", None, None)
    engine = EngineFacts("0.5.0", "abc", "0.25", ("CPU",), (cpu_device,), {"AVX": "1"})
    return dataclasses.replace(
        here,
        cpu=cpu,
        features=feature_use(frozenset({"avx", "avx2"}), {"AVX": "1"}),
        memory=dataclasses.replace(here.memory, group=GroupLimit(GIB, GIB // 2, None, GROUP_FILE)),
        surroundings=Surroundings("docker", "/.dockerenv exists", "KVM"),
        abilities=(Ability("ptrace", "no", "refused: EPERM", "trace can't follow", "Add SYS_PTRACE."),),
        gpu=GpuReport(devices, (reason,), ("/dev/nvidia0",)),
        python=dataclasses.replace(here.python, bindings=(Binding("xllamacpp", "1", "Cython", None),)),
        engine=engine,
        rpc=(
            RpcServer("10.0.0.1:50052", "7.0.0", True, (RpcDevice(0, 8 * GIB, GIB),), 250_000, None),
            RpcServer("10.0.0.2:50052", None, False, (), None, "can't be reached: refused"),
        ),
    )


def test_text_fits_and_every_section_can_be_had_alone(crowded: Machine) -> None:
    alone = machine(engine_problem="the engine can't be loaded: " + "x" * 60)
    assert machine_text(alone, ("rpc",)) == "rpc: none asked (--rpc HOST:PORT asks)\n"
    for found in (alone, crowded):
        whole = machine_text(found)
        assert all(len(line) <= 80 for line in whole.splitlines())
        assert "\x1b" not in whole
        blocks = whole.rstrip("\n").split("\n\n")
        sections = SECTIONS if found.rpc else SECTIONS[:-1]
        assert [machine_text(found, (name,)).rstrip("\n") for name in sections] == blocks


@pytest.mark.parametrize(
    "expected",
    [
        "budget of threads: 1 (a CPU quota of 1.5)",
        "AVX2, which the engine doesn't use",
        "NUMA node 1 2 CPUs, unknown free of unknown",
        "group limit 1.00 GiB, headroom 512 MiB",
        "in a container (docker: /.dockerenv exists)",
        "ptrace: trace can't follow. Add SYS_PTRACE.",
        "1.00 GiB used of 24.0 GiB",
        "process 42: 2.00 GiB (nvml)",
        "process 5001 of the host: unknown (nvml)",
        "unknown used of unknown, the whole device's; by process it can't be told here",
        "NVIDIA: this engine has no backend for it. Build it.",
        "CPU: A CPU, CPU, unknown free of unknown",
        "xllamacpp 1 (Cython)",
        "10.0.0.1:50052: protocol 7.0.0, round trip 0.25 ms device 0 1.00 GiB free of 8.00 GiB",
        "! 10.0.0.2:50052 can't be reached: refused",
    ],
)
def test_what_a_person_must_find(crowded: Machine, expected: str) -> None:
    assert expected in " ".join(machine_text(crowded).split())


def test_documents_are_valid(crowded: Machine) -> None:
    for found in (machine(), crowded):
        parsed = json.loads(dumps(machine_document(found)))
        jsonschema.Draft202012Validator(schema("inspect-machine")).validate(parsed)
    assert parsed["machine"]["gpu"]["devices"][1]["total_bytes"] is None
    assert parsed["machine"]["engine"]["devices"][0]["memory_free_bytes"] is None
