"""A setuid helper that an unprivileged user traces: it runs without its rights, and the report says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from recording import Program
from support import clean_environment

pytest_plugins = ["recording"]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a setuid program of another user"),
    pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv isn't installed"),
]

USER = 65534
# The right to read is kept, since the interpreter may lie where only root can; that to trace others isn't.
READING = "-all,+dac_read_search,+dac_override"
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
           f"--inh-caps={READING}", f"--ambient-caps={READING}"]  # fmt: skip


@pytest.fixture
def helper(program: Program) -> Iterator[Path]:
    """A program that is setuid to root, where everybody may start it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "who_am_i"
        shutil.copy(program("who_am_i"), path)
        path.chmod(0o4755)
        alone = subprocess.run([*AS_USER, str(path)], capture_output=True, text=True, check=True)
        if alone.stdout != "0\n":
            pytest.skip("the file system is mounted nosuid: a setuid program gains nothing here")
        yield path


def traced(tmp_path: Path, prefix: list[str], engine: str, *command: str) -> tuple[str, list[str], str]:
    """Trace a command; return what it printed, the notes, and the report that people see."""
    capture = tmp_path / "c"
    llamactl = [*prefix, sys.executable, "-m", "llamactl", "trace"]
    done = subprocess.run(
        [*llamactl, "--engine", engine, "--no-calls", "-o", str(capture), "--", *command],
        env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    again = [*llamactl, "--from", str(capture), "--format", "json"]
    shown = subprocess.run(again, env=clean_environment(), capture_output=True, text=True, check=True)
    return done.stdout, json.loads(shown.stderr)["metadata"]["notes"], done.stderr


@pytest.mark.parametrize("engine", ["ptrace", "python"])
@pytest.mark.parametrize("as_helper", [False, True], ids=["itself", "started by a shell"])
def test_it_gains_nothing_and_is_named(tmp_path: Path, helper: Path, engine: str, as_helper: bool) -> None:
    tmp_path.chmod(0o777)
    command = ["sh", "-c", f"{helper}; true"] if as_helper else [str(helper)]
    printed, notes, report = traced(tmp_path, AS_USER, engine, *command)
    assert printed == f"{USER}\n"
    wanted = f"{helper} is setuid to user 0: it ran without its extra rights because it was traced"
    assert wanted in notes
    assert f"Note: {wanted}" in " ".join(report.split())


def test_a_plain_program_is_not_named(tmp_path: Path, helper: Path) -> None:
    tmp_path.chmod(0o777)
    helper.chmod(0o755)
    printed, notes, _ = traced(tmp_path, AS_USER, "ptrace", str(helper))
    assert printed == f"{USER}\n"
    assert not any("who_am_i" in note for note in notes)
    assert "a setuid or setcap program that this one starts runs without its extra rights" in notes[0]


def test_root_traces_it_with_its_rights(tmp_path: Path, helper: Path) -> None:
    printed, notes, _ = traced(tmp_path, [], "ptrace", str(helper))
    assert printed == "0\n"
    assert not any("rights" in note for note in notes)
