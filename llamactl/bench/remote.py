"""Lead a measuring process: start it with another engine or another Python, ask, and end it."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import llamactl
from llamactl.bench.child import PROTOCOL
from llamactl.bench.measure.engine_check import other_commit
from llamactl.bench.options import Options
from llamactl.bench.plan import Case, Setup
from llamactl.bench.report import Environment, Memory, ModelFacts, Sample
from llamactl.engine.layout import accepting
from llamactl.errors import LlamactlError, UsageError
from llamactl.snapshot.gpu.account import DeviceAccount

ANSWER_TIMEOUT_S = 3600
SOURCE = Path(llamactl.__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One of two to compare.

    Attributes:
        label: What a person gave: a directory, or ``this``.
        engine_dir: Where its ``libllama.so`` is, or ``None`` for llamactl's own.
        python: Its Python, or ``None`` for this one.
        commit: Of its engine, if that isn't ours but fits.
    """

    label: str = "this"
    engine_dir: Path | None = None
    python: Path | None = None
    commit: str | None = None


def engine_side(directory: str) -> Side:
    """Return the side of ``--against``.

    Raises:
        UsageError: There is no libllama in it.
        LlamactlError: It is of another commit and doesn't fit.
    """
    path = Path(directory).resolve()
    if not (path / "libllama.so").is_file():
        raise UsageError(
            f"--against {directory!r} holds no libllama.so", "Name a directory with an engine's libraries."
        )
    side = Side(directory, engine_dir=path)
    return replace(side, commit=other_commit(path, _environment(side, os.environ)))


def python_side(environment: str) -> Side:
    """Return the side of ``--against-python``: an environment's directory, or its Python.

    Raises:
        UsageError: There is no Python.
    """
    path = Path(environment)
    python = path / "bin" / "python" if path.is_dir() else path
    if not os.access(python, os.X_OK) or python.is_dir():
        raise UsageError(
            f"--against-python {environment!r} holds no bin/python", "Name a virtual environment."
        )
    # Not resolved: a virtual environment is known by the path of its link.
    return Side(environment, python=python.absolute())


class Remote:
    """A measuring process with the interface of a session. Use it as a context manager.

    It starts by itself: what goes wrong then is raised by the first thing that it is asked.

    Args:
        side: Its engine and its Python.
        options: How to measure.
        cpus: Where it may run; anywhere if empty.
    """

    def __init__(self, side: Side, options: Options, cpus: Sequence[int] = ()) -> None:
        self.side = side
        # A file: a pipe that nobody reads could fill up and stop the process.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(side.python or sys.executable), "-m", "llamactl.bench.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(side, os.environ),
            # Python puts the working directory in front of its path: not one with another llamactl in it.
            cwd="/",
            text=True,
        )
        self._environment: Environment | None = None
        self._send({"do": "hello", "options": dataclasses.asdict(options), "cpus": list(cpus)})

    @property
    def environment(self) -> Environment:
        """The machine and the engine, as the process sees them."""
        return self._greet()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def prepare(self, case: Case, *, warm_up: bool = True) -> tuple[dict[str, int] | None, int]:
        """See :meth:`llamactl.bench.session.Session.prepare`."""
        self.start_preparing(case, warm_up=warm_up)
        return self.take_prepared()

    def start_preparing(self, case: Case, *, warm_up: bool = True) -> None:
        """Ask for :meth:`prepare` without waiting; :meth:`take_prepared` waits."""
        self._greet()
        request = {"do": "prepare", "warm_up": warm_up}
        parts = {"setup": dataclasses.asdict(case.setup), "test": dataclasses.asdict(case.test)}
        self._send({**request, **parts})

    def take_prepared(self) -> tuple[dict[str, int] | None, int]:
        """Return what :meth:`start_preparing` asked for."""
        crossings, tokens = self._receive()
        return crossings, tokens

    def start_sample(self) -> None:
        """Ask for a repetition without waiting; :meth:`take_sample` waits."""
        self._send({"do": "sample"})

    def take_sample(self) -> Sample:
        """Return the repetition that was asked for."""
        return Sample(**self._receive())

    def sample(self) -> Sample:
        """Time one repetition."""
        self.start_sample()
        return self.take_sample()

    def facts(self, setup: Setup) -> ModelFacts:
        """Return what the model is."""
        return ModelFacts(**self._ask({"do": "facts", "setup": dataclasses.asdict(setup)}))

    def memory(self) -> Memory | None:
        """Return the memory with the test in place."""
        answer = self._ask({"do": "memory"})
        if not answer:
            return None
        devices = tuple(DeviceAccount(**row) for row in answer.pop("devices", ()))
        return Memory(**answer, devices=devices)

    def close(self) -> None:
        """End the process; a second time does nothing."""
        process = self._process
        for pipe in (process.stdin, process.stdout, self._errors):
            if pipe:
                pipe.close()
        if process.poll() is None:
            process.kill()
        process.wait()

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _greet(self) -> Environment:
        if self._environment is None:
            hello = self._receive()
            if hello["protocol"] != PROTOCOL:
                raise LlamactlError(
                    f"the llamactl in {self.side.label!r} speaks protocol {hello['protocol']}, this one {PROTOCOL}",
                    "Install versions that fit each other.",
                )
            self._environment = Environment(**hello["environment"])
        return self._environment

    def _ask(self, request: dict[str, Any]) -> Any:
        self._greet()
        self._send(request)
        return self._receive()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _receive(self) -> Any:
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
        line = self._process.stdout.readline() if ready else None
        if line is None:
            raise LlamactlError(
                f"the measuring process of {self.side.label!r} doesn't answer", "End what hangs."
            )
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise LlamactlError(f"{self.side.label}: {answer['error']}", answer["hint"])
        return answer["value"]

    def _ended(self) -> LlamactlError:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        reason = lines[-1] if lines else f"status {status}"
        reason = reason.removeprefix("llamactl.errors.LlamactlError: ")
        return LlamactlError(
            f"the measuring process of {self.side.label!r} ended: {reason}",
            "" if reason.endswith(".") else "Try it alone.",
        )


def _environment(side: Side, base: Mapping[str, str]) -> dict[str, str]:
    environment = dict(base)
    environment.pop("PYTHONPATH", None)
    if side.python is None:
        paths = [str(SOURCE), *(path for path in sys.path if path)]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    if side.engine_dir is not None:
        # The module looks there before its own RUNPATH (ld.so(8)); it refuses an engine of another commit,
        # unless that one was found to fit.
        environment["LD_LIBRARY_PATH"] = str(side.engine_dir)
        if side.commit is not None:
            environment.update(accepting(side.commit))
    return environment
