"""One library, several ways to call it, in turns: where do the milliseconds of a token go?"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from llamactl.bench.bindings.binding_gil import Wrap, gil_ns_per_token
from llamactl.bench.remote import SOURCE
from llamactl.engine.library import directory as library_directory
from llamactl.errors import LlamactlError, UsageError

BINDINGS = ("native", "cffi", "ctypes")
STEPS = ("decode", "sample", "detokenize", "copies")
MOST_GIL_TOKENS = 64
"""As many as this say what a token waits for the GIL."""
Repeat = Callable[[], dict[str, int]]


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """What to measure.

    Attributes:
        bindings: Some of :data:`BINDINGS`.
        model: The GGUF file.
        n_gen: Tokens of one repetition.
        n_threads: Threads.
        repetitions: Rounds; in each every binding has its turn.
        llama_bench: llama.cpp's program, for ``native``.
        ctypes_python: A Python that has llama-cpp-python, for ``ctypes``.
    """

    bindings: tuple[str, ...]
    model: Path
    n_gen: int
    n_threads: int
    repetitions: int
    llama_bench: str | None
    ctypes_python: str | None


@dataclass(frozen=True, slots=True)
class BindingResult:
    """Nanoseconds of a token, the median of all rounds.

    Attributes:
        binding: One of :data:`BINDINGS`.
        version: Of the binding.
        total_ns: Everything.
        steps_ns: Of that, by step of :data:`STEPS`; ``None`` for one that isn't taken.
        rest_ns: What is left: Python's own share.
        copied_bytes: Of a row of logits when the binding hands it to Python; ``None`` where it hands none out.
        gil_ns: Of the whole, time to take the GIL back, in a pass of its own; ``None`` where it isn't known.
        gil_missing: Why not.
        samples_ns: ``total_ns`` of each round.
    """

    binding: str
    version: str
    total_ns: float
    steps_ns: dict[str, float | None]
    rest_ns: float | None
    copied_bytes: int | None
    gil_ns: float | None
    gil_missing: str | None
    samples_ns: tuple[float, ...]


def measure_bindings(request: BindingRequest) -> tuple[BindingResult, ...]:
    """Measure each binding in turn, all on the library that llamactl ships.

    Raises:
        UsageError: What a binding needs isn't named or isn't there.
        LlamactlError: One of them failed.
    """
    rounds: dict[str, list[dict[str, int]]] = {name: [] for name in request.bindings}
    with ExitStack() as stack:
        started = {name: stack.enter_context(STARTERS[name](request, dict)) for name in request.bindings}
        for _, repeat in started.values():
            repeat()
        for index in range(request.repetitions):
            order = list(started) if index % 2 == 0 else list(reversed(started))
            for name in order:
                rounds[name].append(started[name][1]())
        versions = {name: version for name, (version, _) in started.items()}
    # Only now: who waits for requests holds no CPU, but memory.
    gil = {name: _gil(name, request) for name in request.bindings}
    return tuple(
        _result(name, versions[name], rounds[name], request.n_gen, gil[name]) for name in request.bindings
    )


def _gil(name: str, request: BindingRequest) -> tuple[float | None, str | None]:
    if name == "native":
        return None, "there is no Python in it"
    fewer = replace(request, n_gen=min(request.n_gen, MOST_GIL_TOKENS))
    return gil_ns_per_token(lambda wrap: STARTERS[name](fewer, wrap))


def _result(
    name: str,
    version: str,
    rounds: Sequence[dict[str, int]],
    n_gen: int,
    gil: tuple[float | None, str | None],
) -> BindingResult:
    def per_token(step: str) -> float | None:
        values = [one[step] for one in rounds if step in one]
        return statistics.median(values) / n_gen if values else None

    rests = [one["total"] - sum(one[step] for step in STEPS) for one in rounds if set(STEPS) <= set(one)]
    samples = tuple(one["total"] / n_gen for one in rounds)
    return BindingResult(
        binding=name,
        version=version,
        total_ns=statistics.median(samples),
        steps_ns={step: per_token(step) for step in STEPS},
        rest_ns=statistics.median(rests) / n_gen if rests else None,
        copied_bytes=rounds[0].get("copied_bytes"),
        gil_ns=gil[0],
        gil_missing=gil[1],
        samples_ns=samples,
    )


@contextmanager
def _native(request: BindingRequest, wrap: Wrap) -> Iterator[tuple[str, Repeat]]:
    program = request.llama_bench or shutil.which("llama-bench")
    if not program or not os.access(program, os.X_OK):
        raise UsageError("the native binding needs llama-bench", "Name it with --llama-bench FILE.")
    command = [program, "-m", str(request.model), "-t", str(request.n_threads), "-p", "0"]
    command += ["-n", str(request.n_gen), "-r", "1", "-o", "json"]
    environment = wrap({**os.environ, "LD_LIBRARY_PATH": str(library_directory())})

    def repeat() -> dict[str, int]:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise LlamactlError(f"llama-bench failed: {_last_line(done.stderr)}", "Try it alone.")
        (row,) = json.loads(done.stdout)
        return {"total": row["samples_ns"][0], "decode": row["samples_ns"][0]}

    yield "llama-bench", repeat


@contextmanager
def _cffi(request: BindingRequest, wrap: Wrap) -> Iterator[tuple[str, Repeat]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "llamactl.bench.bindings.binding_cffi"]
    with _serving(command, request, wrap(environment)) as served:
        yield served


@contextmanager
def _ctypes(request: BindingRequest, wrap: Wrap) -> Iterator[tuple[str, Repeat]]:
    given = Path(request.ctypes_python or sys.executable)
    python = given / "bin" / "python" if given.is_dir() else given
    if not os.access(python, os.X_OK):
        raise UsageError(f"--ctypes-python {str(given)!r} holds no Python", "Name a virtual environment.")
    source = resources.files("llamactl.bench.bindings").joinpath("binding_ctypes.py").read_text("utf-8")
    environment = {**os.environ, "LLAMA_CPP_LIB_PATH": str(library_directory())}
    environment.pop("PYTHONPATH", None)
    # As text: running the file would put its directory in front of Python's path.
    with _serving([str(python.absolute()), "-c", source], request, wrap(environment)) as served:
        yield served


STARTERS = {"native": _native, "cffi": _cffi, "ctypes": _ctypes}


@contextmanager
def _serving(
    command: list[str], request: BindingRequest, environment: dict[str, str]
) -> Iterator[tuple[str, Repeat]]:
    arguments = [str(request.model.resolve()), str(request.n_threads), str(request.n_gen)]
    # A file: a pipe that nobody reads could fill up and stop the process.
    errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        cwd="/",
        text=True,
    )

    def answer() -> dict[str, int]:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            process.wait()
            errors.seek(0)
            raise LlamactlError(f"a binding failed: {_last_line(errors.read())}", "Try it alone.")
        found: dict[str, int] = json.loads(line)
        return found

    def repeat() -> dict[str, int]:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        return answer()

    try:
        yield str(answer()["version"]), repeat
    finally:
        process.kill()
        process.communicate()
        errors.close()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
