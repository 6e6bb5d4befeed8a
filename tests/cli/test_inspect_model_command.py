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


@pytest.mark.parametrize("options", [(), ("-c", "512"), ("--json",), ("--only", "groups")])
@pytest.mark.parametrize(
    ("kept", "fault", "shown"),
    [
        (slice(-10), "bytes before the end of tensor 'token_embd.weight'", "F32"),
        (slice(60), "reaches past the end of the file", "damaged.gguf"),
        (slice(0), "not a GGUF file: 0 bytes are too few", "damaged.gguf"),
        (slice(4, None), "not a GGUF file: it begins with", "damaged.gguf"),
    ],
)
def test_a_damaged_model_is_shown_as_far_as_it_goes_and_refused(
    small: Path, tmp_path: Path, kept: slice, fault: str, shown: str, options: tuple[str, ...]
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(small.read_bytes()[kept])
    done = run(str(damaged), *options)
    assert done.returncode == 2
    assert fault in done.stderr
    assert done.stderr.startswith(f"llamactl: {damaged} isn't a sound GGUF file: ")
    assert done.stderr.count("\n") == 1
    if "--json" in options:
        found = json.loads(done.stdout)
        Draft202012Validator(schema("inspect-model")).validate(found)
        assert fault in found["model"]["fault"]["message"]
    elif not options:
        assert done.stdout.splitlines()[1].startswith("  ! not sound: ")
        assert shown in done.stdout


def test_a_file_of_another_kind_has_no_figures_of_a_model(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("root:x:0:0\n" * 100)
    done = run(str(other))
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == [
        "file",
        "file",
        "page",
    ]  # file, file system, page cache
    facts = json.loads(run(str(other), "--json").stdout)["model"]
    assert (facts["parameters"], facts["weight_bytes"], facts["architecture"]) == (None, None, None)


def test_what_a_cut_header_no_longer_says_is_unknown(small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(small.read_bytes()[:60])
    lines = {line[2:16].strip(): line[17:] for line in run(str(cut)).stdout.splitlines()}
    assert (lines["parameters"], lines["chat template"]) == ("unknown", "unknown")
    assert lines["file"].endswith("number of tensors unknown")


@pytest.mark.parametrize(
    ("only", "fields"),
    [
        ("groups", {"parts", "fault", "groups"}),
        (
            "memory,template",
            {"parts", "fault", "memory_needed", "chat_template", "chat_template_bytes", "chat_templates"},
        ),
        ("tensors,metadata", {"parts", "fault", "tensors", "metadata"}),
    ],
)
def test_only_narrows_the_document_of_a_model(model_path: Path, only: str, fields: set[str]) -> None:
    assert set(document("model", str(model_path), "--only", only)) == fields


def test_the_section_model_has_the_rest(small: Path) -> None:
    rest = set(document("model", str(small), "--only", "model"))
    assert {"architecture", "tokenizer", "parameters"} <= rest
    assert not {"groups", "metadata", "tensors", "memory_needed", "chat_template"} & rest
    sections = ("groups", "metadata", "tensors", "template")
    assert rest.union(*(document("model", str(small), "--only", one) for one in sections)) == {
        name for name in document("model", str(small)) if name != "memory_needed"
    }


@pytest.mark.parametrize(
    ("only", "fields"),
    [
        ("cpu", {"cpu", "features"}),
        ("memory,rpc", {"memory", "rpc"}),
        ("kernel", {"kernel", "surroundings", "abilities"}),
        ("engine,gpu", {"engine", "engine_problem", "gpu"}),
    ],
)
def test_only_narrows_the_document_of_the_machine(only: str, fields: set[str]) -> None:
    assert set(document("machine", "--only", only)) == fields


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-file.gguf",), "can't be opened: No such file"),
        (("/dev/null",), "isn't a regular file"),
        (("/",), "isn't a regular file"),
        (("--only", "threads"), "a machine has no such section"),
        (("--only", "threads", "--json"), "a machine has no such section"),
        (("--rpc", "nohost"), "'nohost' isn't an address. Write HOST:PORT"),
        (("--rpc", "host:1,host:99999"), "'host:99999' isn't an address"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_was_asked_and_is_not_there_is_said(small: Path) -> None:
    done = run(str(small), "--only", "tensors", "--filter", "no\x1bsuch")
    assert (done.returncode, done.stdout) == (0, "no tensor has a name like no\\x1bsuch\n")
    assert run("--only", "rpc").stdout == "rpc: none asked (--rpc HOST:PORT asks)\n"


def test_what_a_context_beyond_any_machine_needs_is_told_without_trying_it(model_path: Path) -> None:
    done = run(str(model_path), "-c", str(2**30))
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory needed for a context of 1,073,741,824 tokens" in done.stdout
    assert "CPU hasn't enough free" in done.stdout


def test_two_looks_at_a_model_can_be_compared(small: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(run(str(small), "--json").stdout)
    after.write_text(before.read_text().replace('"small"', '"larger"'))
    done = run("--diff", str(before), str(after))
    assert done.returncode == 0
    assert "larger" in done.stdout
