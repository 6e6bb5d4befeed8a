"""Which thread pools a process has, and how their threads wait: from its libraries and environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SETTINGS = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "OPENBLAS_",
    "MKL_",
    "BLIS_",
    "GGML_",
    "LLAMA_",
    "CUDA_",
    "HIP_",
    "ROCR_",
)

PLACEMENT = ("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PLACES", "OMP_PROC_BIND")
"""Settings that make an OpenMP runtime place its threads on CPUs (libgomp's and libomp's manuals)."""
NO_PLACEMENT = frozenset({"", "false", "none", "disabled"})


@dataclass(frozen=True, slots=True)
class Pool:
    """A kind of pool and its wait policy in force; ``evidence`` names the setting or the default."""

    kind: str
    library: str
    wait_policy: str
    evidence: str


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of thread pools, engine and GPU in an environment, without anything secret."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(SETTINGS)
        and not any(word in name for word in ("TOKEN", "KEY", "SECRET", "PASSWORD"))
    }


def placement(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of an environment that place threads on CPUs."""
    return {
        name: environment[name]
        for name in PLACEMENT
        if environment.get(name, "").strip().lower() not in NO_PLACEMENT
    }


def find_pools(libraries: Iterable[str], environment: Mapping[str, str] | None) -> list[Pool]:
    """Return the pools whose libraries are mapped.

    Args:
        libraries: Paths of mapped libraries.
        environment: What the process was started with; None when it may not be read. Changes that the
            process made itself aren't in it.
    """
    pools: list[Pool] = []
    for path in sorted(set(libraries)):
        name = path.rpartition("/")[2]
        if name.startswith("libgomp"):
            pools.append(Pool("libgomp", path, *_gomp(environment)))
        elif name.startswith(("libomp", "libiomp")):
            pools.append(Pool("libomp", path, *_libomp(environment)))
        elif name.startswith(("libopenblas", "libscipy_openblas")):
            pools.append(Pool("OpenBLAS", path, "sleeps after a short spin", "its default"))
    return pools


def _gomp(environment: Mapping[str, str] | None) -> tuple[str, str]:
    """Return what libgomp's ``parse_wait_policy`` and ``parse_spincount`` make of the settings."""
    if environment is None:
        return "unknown", "the environment may not be read"
    if "GOMP_SPINCOUNT" in environment:
        value = environment["GOMP_SPINCOUNT"]
        return f"spins {value} times, then sleeps", f"GOMP_SPINCOUNT={value}"
    return _policy(environment) or ("spins some milliseconds, then sleeps", "libgomp's default")


def _libomp(environment: Mapping[str, str] | None) -> tuple[str, str]:
    if environment is None:
        return "unknown", "the environment may not be read"
    if "KMP_BLOCKTIME" in environment:
        value = environment["KMP_BLOCKTIME"]
        return f"spins for KMP_BLOCKTIME ({value}), then sleeps", f"KMP_BLOCKTIME={value}"
    return _policy(environment) or ("spins 200 ms, then sleeps", "libomp's default")


def _policy(environment: Mapping[str, str]) -> tuple[str, str] | None:
    value = environment.get("OMP_WAIT_POLICY", "").strip().lower()
    if value == "active":
        return "spins as long as it waits", "OMP_WAIT_POLICY=active"
    return ("sleeps at once", "OMP_WAIT_POLICY=passive") if value == "passive" else None
