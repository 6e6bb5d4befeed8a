"""``llamactl inspect MODEL`` and ``llamactl inspect`` from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import llamactl
from llamactl.render.document import schema

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(llamactl.__file__).resolve().parents[1]
COMMAND = [sys.executable, str(ROOT / "tests/programs/inspect_command.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCES), "COLUMNS": "80"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, check=False, cwd=ROOT / "tests"
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.gguf"
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_name("small")
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def document(kind: str, *arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    for name in ("inspect", f"inspect-{kind}"):
        Draft202012Validator(schema(name)).validate(found)
    return found[kind]


def test_a_model_as_text_and_as_a_document(small: Path) -> None:
    done = run(str(small), "--tensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("model: ")
    assert "token_embd.weight" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    found = document("model", str(small), "--filter", "token_embd")
    assert (found["architecture"], found["name"]) == ("gpt2", "small")
    assert [tensor["shape"] for tensor in found["tensors"]] == [[8, 4]]


def test_this_machine_as_text_and_as_a_document() -> None:
    done = run("--only", "cpu,memory")
    assert (done.returncode, done.stderr) == (0, "")
    assert [block.split(":")[0] for block in done.stdout.split("\n\n")] == ["cpu", "memory"]
    assert document("machine")["cpu"]["logical"] == os.cpu_count()


def test_a_damaged_model_is_shown_and_its_fault_said_first(small: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(small.read_bytes()[:-10])
    done = run(str(damaged))
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith("  ! not sound: ")
    assert document("model", str(damaged))["fault"]["message"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-file.gguf",), "can't be opened: No such file"),
        (("/dev/null",), "isn't a regular file"),
        (("/",), "isn't a regular file"),
        (("--only", "threads"), "a machine has no such section"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_two_looks_at_a_model_can_be_compared(small: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(run(str(small), "--json").stdout)
    after.write_text(before.read_text().replace('"small"', '"larger"'))
    done = run("--diff", str(before), str(after))
    assert done.returncode == 0
    assert "larger" in done.stdout
