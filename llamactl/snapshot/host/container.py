"""Whether this is a container or a virtual machine, and what shows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llamactl.process.small_files import read_text
from llamactl.snapshot.gpu.pids import INITIAL_NAMESPACE

_MARKS: Final = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))
_GROUP_MARKS: Final = (("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc"))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine is.

    Attributes:
        container: ``docker``, ``podman``, ``kubernetes``, ``lxc``, another name or ``unknown kind``; None
            if nothing shows one.
        evidence: What shows it.
        virtual_machine: The hypervisor or ``unknown kind``; None if the CPU doesn't name one.
    """

    container: str | None
    evidence: str | None
    virtual_machine: str | None


def surroundings(root: Path = Path("/"), environment: Mapping[str, str] | None = None) -> Surroundings:
    """Look for the marks that container runtimes and hypervisors leave."""
    container, evidence = _container(root, os.environ if environment is None else environment)
    return Surroundings(container, evidence, _virtual_machine(root))


def _container(root: Path, environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes", "KUBERNETES_SERVICE_HOST is set"
    for path, kind in _MARKS:
        if (root / path.lstrip("/")).exists():
            return kind, f"{path} exists"
    if "container" in environment:
        return environment["container"] or "unknown kind", "the environment variable container is set"
    groups = read_text(root / "proc/self/cgroup") or ""
    mark, kind = next((each for each in _GROUP_MARKS if each[0] in groups), ("", ""))
    if mark:
        return kind, f"the control group's path names {mark}"
    if _namespace(root) not in (None, INITIAL_NAMESPACE):
        return "unknown kind", "processes are counted in a namespace of their own"
    return None, None


def _namespace(root: Path) -> str | None:
    try:
        return str((root / "proc/self/ns/pid").readlink())
    except OSError:
        return None


def _virtual_machine(root: Path) -> str | None:
    maker = read_text(root / "sys/class/dmi/id/sys_vendor")
    product = read_text(root / "sys/class/dmi/id/product_name")
    flags = (read_text(root / "proc/cpuinfo") or "").partition("\nflags")[2].partition("\n")[0]
    if " hypervisor" not in flags:
        return None
    return " ".join(filter(None, (maker, product))) or "unknown kind"
