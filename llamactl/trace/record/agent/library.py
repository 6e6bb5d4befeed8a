"""Find the agent and prepare the environment of a program that is to load it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.process.engine.libraries import AGENT as NAME
from llamactl.trace.record.agent.layout import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIT = "LD_AUDIT"


def find_agent() -> Path:
    """Return where the agent was installed.

    Raises:
        LlamactlError: It wasn't built, or this machine's C library can't load audit libraries.
    """
    path = Path(__file__).resolve().parents[3] / "lib" / NAME
    if not path.is_file():
        raise LlamactlError(
            f"the agent {NAME} isn't installed beside llamactl",
            "Install llamactl again, or trace without calls into llama.cpp.",
        )
    if platform.libc_ver()[0] != "glibc":
        raise LlamactlError("the agent needs glibc", "Trace without calls into llama.cpp.")
    return path


def agent_environment(environment: Mapping[str, str], agent: Path, ring: str) -> dict[str, str]:
    """Return a copy of ``environment`` with which a program loads the agent, after other audit libraries.

    Args:
        environment: The program's environment.
        agent: What :func:`find_agent` returned.
        ring: ``Ring.address`` of :class:`llamactl.trace.record.agent.ring.Ring`.

    Raises:
        LlamactlError: The agent's path has a colon in it, which separates libraries in ``LD_AUDIT``.
    """
    if ":" in str(agent):
        raise LlamactlError(f"the agent can't be loaded from {agent}: the path has a colon in it")
    others = [item for item in environment.get(AUDIT, "").split(":") if item]
    return {**environment, AUDIT: ":".join([*others, str(agent)]), ENVIRONMENT: ring}
