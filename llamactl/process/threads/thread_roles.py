"""Whose a thread is, with the evidence, and which threads spin while nothing is being generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from llamactl.process.engine.libraries import is_python, library_role
from llamactl.process.threads.stacks import Stack
from llamactl.process.threads.threads import Reading

# Names that are given by the libraries themselves.
_NAMES = (
    (re.compile(r"cuda[0-9a-f-]|cuda-Evt"), "CUDA"),
    (re.compile(r"(hip|hsa|rocm)", re.IGNORECASE), "ROCm"),
    (re.compile(r"grpc", re.IGNORECASE), "RPC"),
    (re.compile(r"openblas", re.IGNORECASE), "BLAS pool"),
    (re.compile(r"iou-(wrk|sqp)"), "kernel (io_uring)"),
)
_BY_LIBRARY = {
    "engine": "engine", "agent": "llamactl's agent", "blas": "BLAS pool", "cuda": "CUDA", "rocm": "ROCm",
    "vulkan": "Vulkan", "python": "Python",
}  # fmt: skip
_ALSO = {"CUDA": "GPU", "ROCm": "GPU", "Vulkan": "GPU", "BLAS pool": "BLAS", "unknown": "other"}
"""What else people call a role."""
POOLS = frozenset({"libgomp", "libomp"})
WORKERS = POOLS | {"ggml worker", "BLAS pool"}


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread: the kernel's reading, whose it is (``unknown`` when nothing tells), and why we say so."""

    reading: Reading
    role: str
    evidence: str
    waits_on: str
    spinning: bool


def role_by_name(name: str) -> str | None:
    """Return the role of a thread that a library, or the kernel, has named; None for any other name."""
    return next((role for pattern, role in _NAMES if pattern.match(name)), None)


def words_for(role: str) -> set[str]:
    """Return the words by which threads of a role are asked for, in small letters."""
    return {role.lower(), _ALSO.get(role, role).lower()}


def role_of(
    process: int,
    reading: Reading,
    stack: Stack | None,
    code_file: Callable[[int], str],
    engine: Collection[str],
) -> tuple[str, str]:
    """Return role and evidence of a thread.

    Args:
        process: Number of the process.
        reading: The thread.
        stack: What its descriptor tells, or None.
        code_file: Finds the file whose code is mapped at an address.
        engine: Files that hold llama.cpp inside of something else.
    """
    if reading.thread == process:
        return "main", "its number is the process's"
    named = role_by_name(reading.name)
    if named is not None:
        return named, "its name"
    if stack and stack.started_in:
        return _by_start(stack, engine)
    if reading.wait and (path := code_file(reading.wait.program_counter)):
        role = _of_file(path, engine)
        if role not in ("unknown", "C++ thread"):
            return role, f"it waits in {_name(path)}"
    return "unknown", ""


def _by_start(stack: Stack, engine: Collection[str]) -> tuple[str, str]:
    started = f"started by {_name(stack.started_in)}"
    if not stack.maker:
        return _of_file(stack.started_in, engine), started
    role = _of_file(stack.maker, engine)
    return role if role != "unknown" else "C++ thread", f"started by {_name(stack.maker)}"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _of_file(path: str, engine: Collection[str]) -> str:
    """Return the role of threads that a file's code starts."""
    name = _name(path)
    if name.startswith("libgomp"):
        return "libgomp"
    if name.startswith(("libomp", "libiomp")):
        return "libomp"
    if name.startswith("libggml-rpc"):
        return "RPC"
    if name.startswith("libggml") or path in engine:
        return "ggml worker"
    if is_python(name):
        return "Python"
    return _BY_LIBRARY.get(library_role(name), "unknown")


def find_spinning(readings: list[Reading], roles: list[str]) -> list[bool]:
    """Tell which threads spin: workers that never slept in a sample in which no other thread ran.

    A thread that generates takes part in the work itself, so when all threads but the pool's sleep, the
    pool has nothing to compute. Where that can't be told of all threads nothing is said.
    """
    idle = all(
        reading.never_ran for reading, role in zip(readings, roles, strict=True) if role not in WORKERS
    )
    return [
        idle and role in WORKERS and bool(reading.never_slept)
        for reading, role in zip(readings, roles, strict=True)
    ]
