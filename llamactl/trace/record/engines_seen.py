"""Which of the recorded processes have an engine mapped, and whether its calls can be caught there.

Looked up while they run: a process whose calls aren't caught looks in a recording like one that makes none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.elf import read_elf
from llamactl.process.engine.engine_files import EngineKind, engine_in
from llamactl.process.engine.libraries import AGENT
from llamactl.process.files.holders import process_name
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.record.agent.layout import ENVIRONMENT

OFTEN, OFTEN_S, SELDOM_S = 20, 0.1, 1.0
"""So many times in the first seconds of a process, and then each second: libraries come at the beginning."""
GLIBC = "ld-linux"


@dataclass(frozen=True, slots=True)
class SeenEngine:
    """One file that holds an engine, in one process.

    Attributes:
        pid: The process.
        process: Its name.
        path: The file, as the process has it.
        kind: As in ``EngineFile``: ``static`` for an engine inside of something else.
        holds: ``llama.cpp``, ``whisper.cpp`` or ``ggml``.
        exported: Whether it exports its functions; None where it can't be read.
        agent: Whether the agent is in this process.
        without: Why it isn't, as far as that can be told; empty if it is, or wasn't meant to be.
    """

    pid: int
    process: str
    path: str
    kind: str
    holds: str
    exported: bool | None
    agent: bool
    without: str


@dataclass(slots=True)
class _Process:
    objects: tuple[str, ...] = ()
    looks: int = 0
    next_s: float = 0.0


class EnginesSeen:
    """Looks at processes again and again, seldom once they have settled.

    Args:
        agent: Where the agent's file is, if it was to be loaded into them; None if not.
    """

    def __init__(self, agent: str | None) -> None:
        self._agent = agent
        self._processes: dict[int, _Process] = {}
        self._found: dict[tuple[int, str], SeenEngine] = {}
        self._files: dict[tuple[int, int, int], EngineKind | None] = {}

    def look(self, pids: Iterable[int]) -> list[SeenEngine]:
        """Look at the processes whose turn it is; return what wasn't known before."""
        now, new = time.monotonic(), []
        for pid in pids:
            process = self._processes.setdefault(pid, _Process())
            if now < process.next_s:
                continue
            process.looks += 1
            process.next_s = now + (OFTEN_S if process.looks < OFTEN else SELDOM_S)
            new += self._look(pid, process)
        return new

    def _look(self, pid: int, process: _Process) -> list[SeenEngine]:
        try:
            maps = ProcessMaps(pid)
        except LlamactlError:
            return []
        objects = tuple(maps.objects())
        if objects == process.objects:
            return []
        process.objects = objects
        agent = any(path.rpartition("/")[2] == AGENT for path in objects)
        new = []
        for path in objects:
            if (pid, path) in self._found:
                continue
            found = self._engine(maps.readable(path), path.rpartition("/")[2])
            if found is None:
                continue
            without = "" if agent or self._agent is None else why_without(pid, maps, self._agent)
            seen = SeenEngine(
                pid, process_name(pid), path, found.kind, found.holds, found.exported, agent, without
            )
            self._found[(pid, path)] = seen
            new.append(seen)
        return new

    def _engine(self, readable: Path, name: str) -> EngineKind | None:
        try:
            found = readable.stat()
            identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
            if identity not in self._files:
                self._files[identity] = engine_in(name, read_elf(readable))
            return self._files[identity]
        except OSError:
            return engine_in(name, None)

    def metadata(self) -> list[dict[str, Any]]:
        """Return the capture's "engines"."""
        return [asdict(seen) for seen in self._found.values()]


def why_without(pid: int, maps: ProcessMaps, agent: str) -> str:
    """Return why the agent isn't in a process that was to load it, as far as ``/proc`` tells."""
    if not any(GLIBC in path.rpartition("/")[2] for path in maps.objects()):
        return _foreign_linker(pid)
    if not proc_pid.place(pid, f"root{agent}").exists():
        return f"{agent} isn't there in its root directory and mount namespace"
    words = proc_pid.read_or_nothing(pid, "environ")
    if AGENT.encode() not in words:
        # The agent takes itself out of an environment in which it couldn't be loaded (native/agent/exec.c).
        if ENVIRONMENT.encode() + b"=" in words:
            return f"{agent} can't be opened by it"
        return "it was started without LD_AUDIT: something emptied the environment"
    user = proc_pid.status_of(pid).get("Uid", "").split("\t")[0]
    if user and user != str(os.geteuid()):
        return f"it runs as user {user}, who may not use the agent's memory"
    return "the dynamic linker didn't load it (the program gained rights when it started, or a library was missing)"


def _foreign_linker(pid: int) -> str:
    try:
        elf = read_elf(proc_pid.place(pid, "exe"))
    except OSError:
        elf = None
    linker = elf.interpreter if elf else None
    what = f"its dynamic linker is {linker}, not glibc's" if linker else "it has no dynamic linker"
    return f"{what}, so no agent can be loaded"
