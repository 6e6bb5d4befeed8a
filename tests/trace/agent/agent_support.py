"""Run a program with the agent to its end, and compile the ones whose calls are known."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Counted, Losses, Ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"


@dataclass
class Traced:
    """A program that ran with the agent to its end."""

    returncode: int
    out: str
    err: str
    records: NDArray[np.void]
    functions: list[Function]
    texts: list[bytes]
    losses: Losses
    python: str | None
    counted: dict[int, Counted]

    def calls(self, name: str | None = None) -> NDArray[np.void]:
        calls: NDArray[np.void] = self.records[self.records["kind"] == Kind.CALL]
        if name is None:
            return calls
        numbers = [number for number, function in enumerate(self.functions) if function.name == name]
        found: NDArray[np.void] = calls[[nr in numbers for nr in calls["nr"].tolist()]]
        return found

    def gil(self) -> NDArray[np.void]:
        found: NDArray[np.void] = self.records[self.records["kind"] == Kind.GIL]
        return found

    def counts(self) -> Counter[str]:
        return Counter(self.functions[nr].name for nr in self.calls()["nr"].tolist())

    def text(self, reference: int) -> str:
        return self.texts[int(reference)].decode()


class Trace(Protocol):
    def __call__(self, *command: str | Path, capacity: int = 65536, **kwargs: Any) -> Traced: ...


def run_traced(*command: str | Path, capacity: int = 65536, **kwargs: Any) -> Traced:
    environment = kwargs.pop("env", dict(os.environ))
    with Ring(capacity) as ring:
        done = subprocess.run(
            [str(item) for item in command],
            env=agent_environment(environment, find_agent(), ring.address),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **kwargs,
        )
        records = ring.finish()
        texts = [b""]

        def add(text: bytes) -> int:
            texts.append(text)
            return len(texts) - 1

        assert records.dtype == RECORD
        ring.intern(records, add)
        return Traced(
            done.returncode,
            done.stdout,
            done.stderr,
            records,
            ring.functions(),
            texts,
            ring.losses(),
            ring.python_version,
            ring.counted(),
        )


def exchange_of(result: Traced) -> Exchange:
    return Exchange.of([result.records], result.functions, lambda reference: result.texts[reference])


def compile_program(compiler: str, target: Path, sources: list[str], *options: str) -> Path:
    path = shutil.which(compiler)
    assert path, f"the tests need {compiler}"
    command = [path, "-O2", "-Wall", "-Wextra", "-Werror", *[str(PROGRAMS / name) for name in sources]]
    subprocess.run([*command, *options, "-o", str(target)], check=True)
    return target


def find_python(version: str) -> str:
    """Return an interpreter of this version: the running one, one on PATH, or pyenv's."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    found = sorted(
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python3")
    )
    path = str(found[-1]) if found else shutil.which(f"python{version}")
    if path is None:
        pytest.skip(f"no Python {version} on this machine")
    return path
