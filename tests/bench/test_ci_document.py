"""What docs/bench-in-ci.md tells people to paste: its YAML is valid, and its shell lines work, run for real.

Only fewer repetitions are measured, and ``pip install`` does nothing: llamactl is installed already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY, clean_environment

yaml = pytest.importorskip("yaml", reason="reading the workflows needs PyYAML")
TEXT = (REPOSITORY / "docs" / "bench-in-ci.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [match[2] for match in FENCE.finditer(TEXT) if match[1] == language]


def commands() -> list[str]:
    """Return the blocks that are typed into a shell, in their order."""
    return [block for block in blocks("") if re.match(r"(llamactl|cp|git) ", block)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, model_file: str) -> Path:
    """A repository with the model in it, and the programs that the lines call."""
    directory = tmp_path_factory.mktemp("ci")
    programs = directory / "bin"
    programs.mkdir()
    write(programs / "llamactl", f'exec "{sys.executable}" -m llamactl "$@"')
    write(programs / "python", f'exec "{sys.executable}" "$@"')
    write(programs / "pip", 'test "$1 $2" = "install .[bench]"')
    (directory / "model.gguf").symlink_to(model_file)
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    return directory


def write(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    file.chmod(0o755)


def shell(directory: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run lines as a CI job does: the first that fails ends them."""
    path = f"{directory / 'bin'}:{os.environ['PATH']}"
    lines = re.sub(r"-r \d{2,}", "-r 12", text)
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", lines],
        cwd=directory, env=clean_environment(PATH=path, **more), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def judged(done: subprocess.CompletedProcess[str], conditions: int) -> None:
    """The same engine may fail a check by chance, but the status must say what the lines say."""
    verdicts = re.findall(r"(passed|FAILED): ", done.stderr)
    assert len(verdicts) == conditions, done.stderr
    assert done.returncode == (3 if "FAILED" in verdicts else 0)


def test_the_page_from_its_beginning(shop: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    trusted, in_turns, store, check = commands()
    assert shell(shop, trusted).returncode == 0
    assert (shop / "trusted-lib" / "libllama.so").is_file()
    judged(shell(shop, in_turns), 2)
    stored = shell(shop, store)
    assert stored.returncode == 0, stored.stderr
    assert subprocess.run(["git", "ls-files"], cwd=shop, capture_output=True, text=True, check=True).stdout
    checked = shell(shop, check)
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr.count("passed: ") == 6 and "FAILED" not in checked.stderr


def steps(workflow: dict[Any, Any], event: str) -> Iterator[str]:
    """Yield the shell lines of a GitHub workflow that run for an event."""
    for step in workflow["jobs"]["bench"]["steps"]:
        condition = step.get("if", "")
        if "run" in step and (not condition or f"'{event}'" in condition):
            yield step["run"]


def test_the_github_workflow(shop: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    workflow = yaml.safe_load(blocks("yaml")[0])
    # YAML 1.1 reads the key "on" as true, GitHub doesn't.
    assert set(workflow[True]) == {"push", "pull_request"}
    for step in workflow["jobs"]["bench"]["steps"]:
        assert ("run" in step) != ("uses" in step)
    shutil.rmtree(shop / "trusted-lib", ignore_errors=True)
    for line in steps(workflow, "push"):
        assert shell(shop, line).returncode == 0
    *before, compare = steps(workflow, "pull_request")
    for line in before:
        assert shell(shop, line).returncode == 0
    page = shop / "page.md"
    judged(shell(shop, compare, GITHUB_STEP_SUMMARY=str(page)), 2)
    assert json.loads((shop / "bench.json").read_text())["schema"] == "llamactl.bench"
    assert "tg1" in page.read_text()


def test_the_gitlab_pipeline(shop: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    pipeline = yaml.safe_load(blocks("yaml")[1])
    shutil.rmtree(shop / "trusted-lib", ignore_errors=True)
    for line in pipeline["trusted-engine"]["script"]:
        assert shell(shop, line).returncode == 0
    *before, compare = pipeline["bench"]["script"]
    for line in before:
        assert shell(shop, line).returncode == 0
    judged(shell(shop, compare), 2)
    assert (shop / pipeline["bench"]["artifacts"]["paths"][0]).is_file()


def test_without_the_trusted_engine_the_job_is_red(shop: Path) -> None:
    compare = yaml.safe_load(blocks("yaml")[1])["bench"]["script"][-1]
    shutil.rmtree(shop / "trusted-lib", ignore_errors=True)
    done = shell(shop, compare)
    assert done.returncode == 2 and "trusted-lib" in done.stderr
