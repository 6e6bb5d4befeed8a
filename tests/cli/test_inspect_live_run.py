"""A run is inspected while it generates: what is seen from outside is what the run says of itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import clean_environment

from llamactl.render.document import schema

OPTIONS = ["run", "-q", "--jsonl", "--raw", "--ignore-eos", "--temp", "0", "-t", "2", "-c", "8192"]


@pytest.fixture(scope="module")
def seen(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return the process as inspected between its first token and its end, and the run's own last event."""
    run = subprocess.Popen(
        [sys.executable, "-m", "llamactl", *OPTIONS, "-m", str(model_path), "Once upon a time"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=clean_environment(),
    )  # fmt: skip
    try:
        assert run.stdout is not None
        # A token has been computed: the buffers are there, and eight thousand are still to come.
        next(line for line in run.stdout if json.loads(line)["event"] == "text")
        inspected = subprocess.run(
            [sys.executable, "-m", "llamactl", "inspect", str(run.pid), "--json"],
            env=clean_environment(), capture_output=True, text=True, check=True,
            cwd=tmp_path_factory.mktemp("elsewhere"),
        )  # fmt: skip
        run.send_signal(signal.SIGINT)
        end = json.loads(run.communicate(timeout=60)[0].splitlines()[-1])
    finally:
        run.kill()
        run.communicate()
    assert (run.returncode, end["event"], end["finish_reason"]) == (130, "end", "interrupted")
    document = json.loads(inspected.stdout)
    Draft202012Validator(schema("inspect")).validate(document)
    return document["processes"][0], end


def test_the_model_is_held_as_the_run_says(seen: tuple[Any, Any], model_path: Path) -> None:
    process, end = seen
    (model,) = process["memory"]["models"]
    assert model["path"] == str(model_path)
    assert model["mapped_bytes"] == end["memory"]["model"]["mapped_bytes"]
    assert model["size_bytes"] == end["memory"]["model"]["file_bytes"]
    assert (model["locked_bytes"], model["private_copy_bytes"]) == (0, 0)
    assert model["parts"][0]["tensors"]["count"] == 272


def test_the_kv_cache_is_found_and_other_buffers_stay_unknown(seen: tuple[Any, Any]) -> None:
    process, end = seen
    own = {each["context_bytes"]: each for each in end["memory"]["buffers"] if each["context_bytes"]}
    if any(not each["is_host"] for each in own.values()):
        pytest.skip("the KV cache is on a GPU, where only its driver could tell")
    caches = [each for each in process["memory"]["buffers"] if each["role"] == "kv"]
    assert [each["evidence"] for each in caches] == ["as large as a KV cache of 8192 tokens in f16"]
    # The allocator aligns what the engine asks for, and adds at most a page.
    assert 0 <= caches[0]["size_bytes"] - sum(own) <= 4096
    compute = sum(each["compute_bytes"] for each in end["memory"]["buffers"])
    (largest,) = [each for each in process["memory"]["buffers"] if 0 <= each["size_bytes"] - compute <= 4096]
    assert (largest["role"], largest["evidence"]) == ("unknown", "")


def test_threads_and_binding_are_those_of_the_run(seen: tuple[Any, Any]) -> None:
    process, end = seen
    threads = process["threads"]
    assert threads["compute_threads"] == end["settings"]["threads"]["in_force"] == 2
    assert sorted(each["role"] for each in threads["threads"]) == ["libgomp", "main"]
    assert (process["binding"]["name"], process["binding"]["interface"]) == ("llamactl", "CFFI API")
    (llama,) = [each for each in process["engine"] if each["kind"] == "libllama"]
    assert llama["version"] == end["versions"]["llama"]
    assert (process["ended"], process["identity"]["traced_by"]) == (False, None)


def test_devices_are_those_that_the_engine_sees(seen: tuple[Any, Any]) -> None:
    process, end = seen
    assert "CPU" in process["gpu"]["backends"]
    on_gpu = [each for each in end["memory"]["buffers"] if not each["is_host"]]
    if not on_gpu:
        assert all(not each["process_bytes"] for each in process["gpu"]["devices"])
        return
    held = sum(each["model_bytes"] + each["context_bytes"] + each["compute_bytes"] for each in on_gpu)
    told = [each["process_bytes"] for each in process["gpu"]["devices"]]
    # A driver that tells no process apart leaves it unknown; else it has at least the engine's buffers.
    assert all(size is None for size in told) or sum(size or 0 for size in told) >= held
