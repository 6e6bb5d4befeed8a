"""A token that is made slow on purpose is explained by what made it slow, in a whole recording."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from support import clean_environment, control_group

from llamactl.trace.mechanisms.interface.model_tensors import tensors_of

PROGRAMS = Path(__file__).parents[2] / "programs"
RUNS, RIGHT = 10, 9
CAUSES = {
    "gil": "waiting for the GIL",
    "python": "Python between the calls",
    "sampler": "a longer sampler",
    "other": "other calls into llama.cpp",
    "blocked": "blocked in the decode",
    "computing": "more computing in the decode",
    "preempted": "preempted",
    "migrated": "preempted and moved to another CPU",
    "barrier": "a thread missing at the barrier",
    "stopped": "a thread missing at the barrier",
    "throttled": "throttled by the control group",
    "faults": "page faults read from disk",
    "gpu": "waiting for the GPU",
}
BY_KERNEL = ("preempted", "migrated", "barrier", "stopped", "throttled", "faults", "gpu")
TENSOR = "blk.0.ffn_up.weight"


@dataclass(frozen=True)
class Place:
    """The two libraries, a model, and a folder for captures."""

    folder: Path
    model: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("slow")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    for source, name, more in (("llama_target", "plain", []), ("slow_target", "kernel", ["-fopenmp"])):
        target = folder / name / "libllama.so"
        target.parent.mkdir()
        subprocess.run(
            [compiler, *flags, *more, str(PROGRAMS / f"{source}.c"), "-o", str(target)], check=True
        )
    model = folder / "model.gguf"
    writer = gguf.GGUFWriter(model, "llama")
    for name in ("token_embd.weight", TENSOR):
        writer.add_tensor(name, np.ones((2048, 2048), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with model.open("rb") as file:
        os.fsync(file.fileno())
    return Place(folder, model)


def come_first() -> None:
    """Let llamactl look and continue the program at once, whatever else runs here; the program takes less."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))


def run(place: Place, why: str, engine: str, *more: str) -> list[dict[str, Any]]:
    """Trace the program and return its slow tokens."""
    if why in BY_KERNEL:
        program, library = "slow_by_kernel.py", place.folder / "kernel" / "libllama.so"
    else:
        program, library = "agent_slow_token.py", place.folder / "plain" / "libllama.so"
    report = place.folder / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--engine", engine, "--report", str(report), "--",
         sys.executable, str(PROGRAMS / program), str(library), why, *more],
        env=clean_environment(), capture_output=True, text=True, check=False, timeout=200,
        preexec_fn=come_first,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["slow_tokens"]
    return found


def made_slow(place: Place, why: str, engine: str) -> dict[str, Any]:
    """Return the token that the program made slow: the longest one."""
    with contextlib.ExitStack() as stack:
        more: list[str] = []
        if why in {"preempted", "migrated", "barrier", "stopped"} and len(os.sched_getaffinity(0)) < 2:
            pytest.skip("needs two CPUs")
        if why in {"preempted", "migrated", "barrier", "gpu"} and os.geteuid() != 0:
            pytest.skip("needs root: a real-time process, or a file in /dev")
        if why == "throttled":
            more = [str(stack.enter_context(control_group()))]
        if why == "faults":
            offset, size = next(
                (begin, size) for begin, size, name in tensors_of(os.fsencode(place.model)) if name == TENSOR
            )
            more = [str(place.model), str(offset), str(size)]
        if why == "gpu":
            device = Path(f"/dev/nvidia-llamactl-test-{os.getpid()}")
            stack.callback(device.unlink, missing_ok=True)
            more = [str(device)]
        return max(run(place, why, engine, *more), key=lambda token: token["length_ns"])


def check_subject(why: str, token: dict[str, Any], engine: str) -> None:
    """What the cause is about is named as well."""
    if why == "faults" and engine == "perf":
        assert token["subject"] == TENSOR
    if why == "throttled":
        assert "llamactl-test" in token["subject"]
        assert dict(token["evidence"])["ns throttled"] > 0
    if why == "barrier":
        assert token["subject"] == "without a CPU"
    if why == "stopped":
        assert "nanosleep" in token["subject"]
    if why in {"barrier", "stopped"}:
        assert token["thread"] is not None
    if why == "gil":
        assert token["wait"]["holder_call"] == "llama_sleep_us"


@pytest.mark.parametrize("why", BY_KERNEL)
def test_what_the_kernel_did(place: Place, why: str) -> None:
    """Once in three: on a busy machine a token may be slow for a second reason at the same time."""
    seen = []
    for _ in range(3):
        token = made_slow(place, why, "ptrace")
        seen.append(token["cause"])
        if token["cause"] == CAUSES[why]:
            check_subject(why, token, "ptrace")
            return
    pytest.fail(f"{why} was explained by {seen}")


@pytest.mark.slow
@pytest.mark.skipif(
    "LLAMACTL_TEST_SLOW_TOKENS" not in os.environ, reason="LLAMACTL_TEST_SLOW_TOKENS=1 runs it"
)
@pytest.mark.parametrize("engine", ["ptrace", "perf"])
@pytest.mark.parametrize("why", CAUSES)
def test_nine_of_ten(place: Place, why: str, engine: str) -> None:
    tokens = [made_slow(place, why, engine) for _ in range(RUNS)]
    right = [token for token in tokens if token["cause"] == CAUSES[why]]
    print(f"{why} {engine}: {len(right)} of {RUNS}; {[token['cause'] for token in tokens]}")
    assert len(right) >= RIGHT, [token["cause"] for token in tokens]
    for token in right:
        check_subject(why, token, engine)
