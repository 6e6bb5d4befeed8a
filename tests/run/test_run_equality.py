"""The same model, prompt and choice of tokens give the same text in llama.cpp's own program and another binding."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import REPOSITORY, SOURCES, Run, clean_environment

PROMPTS = [
    "Once upon a time",
    "The capital of France is",
    "def fibonacci(n):\n",
    "1, 2, 3, 4, 5,",
    "Größe und Länge: 🙂",
]
N_PREDICT = 32


def ours(llamactl: Run, prompt: str) -> str:
    """Return the text, through JSON so that nothing is added to it."""
    result = llamactl(
        "run", "--json", "-q", "--raw", "--temp", "0", "-n", str(N_PREDICT), "-c", "512", "-t", "2", prompt
    )
    assert result.returncode == 0, result.stderr
    return str(json.loads(result.stdout)["text"])


@pytest.fixture(scope="module")
def completion() -> Path:
    found = sorted(REPOSITORY.glob("build/*/peers/completion/llama-completion"))
    if named := os.environ.get("LLAMACTL_TEST_LLAMA_COMPLETION"):
        found = [Path(named)]
    if not found:
        pytest.skip("llama-completion isn't built: run make peers")
    return found[0]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_as_llama_completion(llamactl: Run, model_path: Path, completion: Path, prompt: str) -> None:
    result = subprocess.run(
        [
            completion, "-m", model_path, "-p", prompt, "-n", str(N_PREDICT), "-c", "512", "-t", "2", "--temp", "0",
            "-no-cnv", "--no-display-prompt", "--no-warmup", "--simple-io",
        ],
        env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    text = result.stdout.decode("utf-8", "replace").removesuffix("\n").removesuffix(" [end of text]")
    assert ours(llamactl, prompt).rstrip("\n") == text.rstrip("\n")


PEER = """
import sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=512, n_threads=2, n_threads_batch=2, flash_attn=True, verbose=False)
out = model.create_completion(sys.argv[2], max_tokens=int(sys.argv[3]), temperature=0, repeat_penalty=1.0)
sys.stdout.buffer.write(out["choices"][0]["text"].encode())
"""


@pytest.fixture(scope="module")
def peer() -> str:
    python = os.environ.get("LLAMACTL_TEST_LLAMA_CPP_PYTHON") or str(
        REPOSITORY / "build/peers-venv/bin/python"
    )
    if not Path(python).exists():
        pytest.skip(
            "no interpreter with llama-cpp-python: run make peers or set LLAMACTL_TEST_LLAMA_CPP_PYTHON"
        )
    return python


@pytest.mark.parametrize("prompt", PROMPTS)
def test_as_llama_cpp_python(llamactl: Run, model_path: Path, peer: str, prompt: str) -> None:
    """On the very same libllama."""
    environment = clean_environment(LLAMA_CPP_LIB_PATH=str(SOURCES / "llamactl/lib"), PYTHONPATH=None)
    result = subprocess.run(
        [peer, "-c", PEER, str(model_path), prompt, str(N_PREDICT)],
        env=environment, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert ours(llamactl, prompt) == result.stdout.decode("utf-8", "replace")
