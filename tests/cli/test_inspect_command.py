"""The command: what it prints, refuses, watches and compares."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import llamactl
from llamactl.render.document import schema

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
# Where the package that is tested lies: the installed one, or the source tree.
PACKAGES = Path(llamactl.__file__).resolve().parents[1]
# The command alone, so that these tests don't depend on the other commands.
COMMAND = [sys.executable, str(PROGRAMS / "inspect_command.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGES), "COLUMNS": "80"}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "open_files.py"), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )


def document(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    Draft202012Validator(schema("inspect")).validate(found)
    return found


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema("inspect"))


def test_a_process_as_text_and_as_a_document(target: subprocess.Popen[str]) -> None:
    done = run(str(target.pid))
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"process {target.pid}: ")
    assert all(len(line) <= 80 or " " not in line.strip() for line in done.stdout.splitlines())
    found = document(str(target.pid))
    assert [one["identity"]["pid"] for one in found["processes"]] == [target.pid]


def test_children(target: subprocess.Popen[str]) -> None:
    found = document(str(os.getpid()), "--children", "--only", "limits")
    pids = [one["identity"]["pid"] for one in found["processes"]]
    assert pids[0] == os.getpid() and target.pid in pids


def test_only(target: subprocess.Popen[str]) -> None:
    found = document(str(target.pid), "--only", "threads,limits")["processes"][0]
    assert found["sections"] == ["threads", "limits"]
    assert found["files"] is None and found["threads"]
    done = run(str(target.pid), "--only", "colour")
    assert done.returncode == 2
    assert "--only colour: a process has no such section. It has: files, mappings" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["4194305"], "no process has the number 4194305"),
        (["1", "--watch", "0"], "--watch 0 isn't a number of seconds"),
        (["1", "--watch", "nan"], "--watch nan isn't a number of seconds"),
        (["--diff", "/nowhere", "/nowhere"], "/nowhere can't be read"),
        (["1", "--diff", "a", "b"], "--diff takes two files"),
        (["1", "--tensors"], "--tensors means nothing for a process. It is about a model"),
        (["--filter", "x"], "--filter means nothing for this machine. It is about a model"),
        (["--children"], "--children means nothing for this machine. It is about a process"),
        (["a.gguf", "--children"], "--children means nothing for a model. It is about a process"),
        (["a.gguf", "--python", "python3"], "--python means nothing for a model"),
        (["--binding", "x"], "--binding means nothing for this machine"),
        (["--python", "/nowhere"], "--python /nowhere can't be executed"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_difference_of_two_documents(target: subprocess.Popen[str], tmp_path: Path) -> None:
    before = document(str(target.pid), "--only", "files,limits")
    after = json.loads(json.dumps(before))
    files = after["processes"][0]["files"]
    gone = files.pop()
    files[3]["offset"] = 99
    (tmp_path / "a.json").write_text(json.dumps(before))
    (tmp_path / "b.json").write_text(json.dumps(after))
    done = run("--diff", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert done.returncode == 0
    place = f"processes {target.pid} files {files[3]['fd']} offset"
    assert f"~ {place}: {before['processes'][0]['files'][3]['offset'] or 'unknown'} → 99" in done.stdout
    assert f"- processes {target.pid} files {gone['fd']}: " in done.stdout
    assert len(done.stdout.splitlines()) <= 4
    same = run("--diff", str(tmp_path / "a.json"), str(tmp_path / "a.json"))
    assert same.stdout == "nothing changed\n"


def test_documents_that_are_none_are_refused(tmp_path: Path) -> None:
    for content in ("{", "[]", '{"schema": "llamactl.run"}'):
        (tmp_path / "x.json").write_text(content)
        done = run("--diff", str(tmp_path / "x.json"), str(tmp_path / "x.json"))
        assert done.returncode == 2 and done.stderr.count("\n") == 1


def watching(*arguments: str, stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments, "--watch", "0.05"], stdout=stdout, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip


def test_watch_appends_blocks_to_a_pipe_and_ends_at_ctrl_c(target: subprocess.Popen[str]) -> None:
    watcher = watching(str(target.pid), stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    heads = 0
    for line in watcher.stdout:
        assert "\x1b" not in line
        heads += line.startswith(f"process {target.pid}: ")
        if heads == 3:
            break
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 0
    watcher.stdout.close()


def test_watch_writes_json_lines(target: subprocess.Popen[str]) -> None:
    watcher = watching(str(target.pid), "--json", stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    for _ in range(2):
        found = json.loads(watcher.stdout.readline())
        Draft202012Validator(schema("inspect")).validate(found)
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 0


def test_watch_ends_with_the_process(target: subprocess.Popen[str]) -> None:
    watcher = watching(str(target.pid), stdout=subprocess.PIPE)
    assert watcher.stdout is not None and watcher.stdout.readline().startswith("process")
    target.kill()
    target.wait()
    _, errors = watcher.communicate(timeout=20)
    assert watcher.returncode == 0
    assert "ended" in errors


def test_watch_redraws_a_terminal_within_80_columns(target: subprocess.Popen[str]) -> None:
    ours, theirs = pty.openpty()
    watcher = watching(str(target.pid), stdout=theirs)
    os.close(theirs)
    data = b""
    while data.count(b"\x1b[H") < 4:
        data += os.read(ours, 65536)
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 0
    os.close(ours)
    frame = data.split(b"\x1b[H")[2].decode()
    lines = frame.replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
    assert lines[0].startswith(f"process {target.pid}: ")
    assert max(map(len, lines)) <= 80 and "\x1b" not in "".join(lines)
    assert watcher.stderr is not None
    watcher.stderr.close()


def test_watch_fits_a_small_terminal(target: subprocess.Popen[str]) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    watcher = subprocess.Popen(
        [*COMMAND, str(target.pid), "--only", "limits,threads", "--watch", "0.1"],
        stdout=theirs, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    )  # fmt: skip
    os.close(theirs)
    data = b""
    while data.count(b"\x1b[H") < 3:
        data += os.read(ours, 65536)
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 0
    os.close(ours)
    frame = data.split(b"\x1b[H")[2].decode()
    lines = frame.replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
    assert (len(lines), max(map(len, lines))) == (9, 40)
    assert lines[-1].startswith("… ") and lines[-1].endswith(" more lines")


def test_a_target_is_told_by_its_looks(tmp_path: Path) -> None:
    done = run(str(tmp_path / "missing.gguf"))
    assert done.returncode == 2 and "missing.gguf can't be opened" in done.stderr
    # Digits are a process; a file of that name is given with its directory.
    (tmp_path / "4194305").write_bytes(b"GGUF")
    assert "no process has the number" in run("4194305").stderr
    assert run(str(tmp_path / "4194305")).stdout.startswith("model: ")
    machine = document()
    assert machine["kind"] == "machine"


def test_a_python_is_asked_for_its_binding(tmp_path: Path) -> None:
    found = document("--python", sys.executable, "--binding", "no_such_binding")
    assert found["kind"] == "abi"
    assert found["abi"]["status"] == "unknown"
