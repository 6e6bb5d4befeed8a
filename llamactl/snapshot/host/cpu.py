"""CPUs: how many, what they can, and how many of them this process may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llamactl.process.cpu_budget import CpuBudget, cpu_budget, listed_cpus, parse_cpu_list, place_of
from llamactl.process.proc_text import status_fields
from llamactl.process.small_files import read_bytes, read_text

_KIB: Final = 1024

FEATURE_FLAGS: Final[dict[str, str]] = {
    "SSE3": "pni", "SSSE3": "ssse3", "AVX": "avx", "AVX_VNNI": "avx_vnni", "AVX2": "avx2", "F16C": "f16c",
    "FMA": "fma", "BMI2": "bmi2", "AVX512": "avx512f", "AVX512_VBMI": "avx512vbmi",
    "AVX512_VNNI": "avx512_vnni", "AVX512_BF16": "avx512_bf16", "AMX_INT8": "amx_int8",
    "NEON": "asimd", "DOTPROD": "asimddp", "MATMUL_INT8": "i8mm", "SVE": "sve", "SME": "sme",
    "FP16_VA": "asimdhp",
}  # fmt: skip
"""ggml's name of a CPU feature and the flag that ``/proc/cpuinfo`` has for it."""


@dataclass(frozen=True, slots=True)
class NumaNode:
    """One node of memory with its CPUs.

    Attributes:
        number: As the kernel counts.
        cpus: Numbers of its CPUs.
        total_bytes: Of its memory; None if unknown.
        free_bytes: Of its memory; None if unknown.
    """

    number: int
    cpus: tuple[int, ...]
    total_bytes: int | None
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The CPUs of the machine.

    Attributes:
        model: Its maker's name.
        architecture: Such as ``x86_64``.
        logical: CPUs that are online.
        physical_cores: Cores behind them; None where the kernel doesn't show them.
        sockets: Packages; None where the kernel doesn't show them.
        threads_per_core: 2 where SMT is in use; None where the kernel doesn't show the cores.
        affinity: CPUs that this process may run on.
        budget: Threads that this process can run at once, and why not more.
        numa: Nodes of memory; empty if the kernel shows none.
        governor: Of the clock's frequency; None if the machine shows none, as in a virtual machine.
        flags: All that the kernel names.
    """

    model: str | None
    architecture: str
    logical: int
    physical_cores: int | None
    sockets: int | None
    threads_per_core: int | None
    affinity: tuple[int, ...]
    budget: CpuBudget
    numa: tuple[NumaNode, ...]
    governor: str | None
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class FeatureUse:
    """One CPU feature that matters for speed.

    Attributes:
        name: As ggml names it.
        cpu: The CPU has it.
        engine: The engine uses it; None if the engine wasn't asked.
    """

    name: str
    cpu: bool
    engine: bool | None

    @property
    def missed(self) -> bool:
        """There, but not used."""
        return self.cpu and self.engine is False


def cpu(root: Path = Path("/")) -> Cpu:
    """Return the CPUs of the machine whose ``/proc`` and ``/sys`` are below ``root``."""
    info = _cpuinfo(root)
    online = parse_cpu_list(read_text(root / "sys/devices/system/cpu/online") or "") or set(listed_cpus(root))
    found = [place_of(number, root) for number in online]
    places = {place for place in found if place is not None}
    cores = len(places) if None not in found else 0
    budget = cpu_budget(root=root)
    real = root == Path("/")
    allowed = os.sched_getaffinity(0) if real else _allowed(root)
    return Cpu(
        model=info.get("model name") or info.get("CPU implementer"),
        architecture=os.uname().machine,
        logical=len(online),
        physical_cores=cores or None,
        sockets=len({package for package, _ in places}) if cores else None,
        threads_per_core=len(online) // cores if cores else None,
        affinity=tuple(sorted(allowed)),
        budget=budget,
        numa=tuple(_numa(root)),
        governor=read_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        flags=frozenset((info.get("flags") or info.get("Features") or "").split()),
    )


def feature_use(flags: frozenset[str], engine: dict[str, str] | None) -> tuple[FeatureUse, ...]:
    """Compare what the CPU has with what the engine was built to use.

    Args:
        flags: Of the CPU.
        engine: ``llamactl.engine.library.cpu_features()``; None if it wasn't asked.
    """
    return tuple(
        FeatureUse(name, flag in flags, None if engine is None else engine.get(name, "0") not in ("0", ""))
        for name, flag in FEATURE_FLAGS.items()
        if flag in flags or (engine or {}).get(name, "0") != "0"
    )


def _cpuinfo(root: Path) -> dict[str, str]:
    """Return the fields of the first CPU."""
    first = (read_text(root / "proc/cpuinfo") or "").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.split("\n"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _allowed(root: Path) -> set[int]:
    fields = status_fields(read_bytes(root / "proc/self/status"))
    return parse_cpu_list(fields.get("Cpus_allowed_list", ""))


def _numa(root: Path) -> list[NumaNode]:
    folder = root / "sys/devices/system/node"
    found = []
    for node in sorted(parse_cpu_list(read_text(folder / "online") or "")):
        lines = (read_text(folder / f"node{node}/meminfo") or "").split("\n")
        rows = [line.split() for line in lines]
        sizes = {row[2].rstrip(":"): int(row[3]) * _KIB for row in rows if len(row) > 3}
        cpus = parse_cpu_list(read_text(folder / f"node{node}/cpulist") or "")
        found.append(NumaNode(node, tuple(sorted(cpus)), sizes.get("MemTotal"), sizes.get("MemFree")))
    return found
