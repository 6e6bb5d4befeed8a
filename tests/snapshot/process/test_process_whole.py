"""The snapshot as a whole: refused, ended, never stopped, and safe to show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import llamactl
from llamactl.errors import UsageError
from llamactl.process.descendants import descendants
from llamactl.process.proc import ProcessDir
from llamactl.process.python.python import find_python
from llamactl.render.inspect.json import process_document
from llamactl.render.inspect.process import process_text
from llamactl.snapshot.process import snapshot as module
from llamactl.snapshot.process.snapshot import inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
# Where the package that is tested lies: the installed one, or the source tree.
PACKAGES = Path(llamactl.__file__).resolve().parents[1]


@pytest.fixture
def target(start: Start, tmp_path: Path) -> subprocess.Popen[str]:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    return start("open_files.py", str(tmp_path))


def test_another_users_process_is_told_as_far_as_it_may_be(target: subprocess.Popen[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    output = subprocess.run(
        [sys.executable, str(PROGRAMS / "inspect_as.py"), "65534", str(target.pid)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(PACKAGES)},
    ).stdout  # fmt: skip
    (process,) = json.loads(output)["processes"]
    assert process["files"] is None and process["mappings"] is None and process["memory"] is None
    refused = {note["section"] for note in process["notes"]}
    assert {"process", "files", "mappings", "threads"} <= refused
    assert all("permission denied" in note["message"] for note in process["notes"])
    # What everybody may know is there.
    assert process["identity"]["command"][1].endswith("open_files.py")
    assert len(process["threads"]["threads"]) == 2
    assert process["limits"]["resources"]


def test_a_process_that_ends_midway_gives_what_was_read(
    target: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_kill(*arguments: object) -> object:
        found = find_python(*arguments)  # type: ignore[arg-type]
        target.kill()
        target.wait()
        return found

    monkeypatch.setattr(module, "find_python", read_and_kill)
    found = inspect_process(target.pid)
    assert found.ended
    assert found.files and found.mappings  # read before
    assert found.threads is None or found.threads.threads == ()
    assert [note for note in found.notes if "ended while it was read" in note.message]
    assert "ended while it was read" in process_text(found)


def test_no_such_process() -> None:
    with pytest.raises(UsageError, match="no process has the number 4194305"):
        inspect_process(4194305)


def test_a_descriptor_of_proc_never_tells_about_a_later_process(target: subprocess.Popen[str]) -> None:
    with ProcessDir.open(target.pid) as process:
        assert process.alive()
        target.kill()
        target.wait()
        assert not process.alive()
        with pytest.raises(OSError):
            process.read("smaps")


def test_a_process_is_never_stopped(target: subprocess.Popen[str]) -> None:
    """Sample the state as fast as we can while everything is read."""
    states: set[str] = set()
    tracers: set[str] = set()
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            status = Path(f"/proc/{target.pid}/status").read_text()
            states.add(status.split("State:\t")[1][0])
            tracers.add(status.split("TracerPid:\t")[1].split("\n")[0])

    sampler = threading.Thread(target=sample)
    sampler.start()
    for _ in range(5):
        inspect_process(target.pid)
    done.set()
    sampler.join()
    assert states <= {"S", "R"}
    assert tracers == {"0"}


def test_names_are_shown_safely(target: subprocess.Popen[str]) -> None:
    found = inspect_process(target.pid)
    text = process_text(found, ("files", "mappings"))
    assert "new\\nline\\x1b[31m" in text
    assert "\x1b" not in text
    assert not [line for line in process_text(found).splitlines() if len(line) > 80 and " " in line.strip()]
    document = json.loads(json.dumps(process_document([found])))
    names = [entry["target"] for entry in document["processes"][0]["files"]]
    assert [name for name in names if name.endswith("new\nline\x1b[31m")]
    assert document["processes"][0]["identity"]["name"] == "\x1b[2Jname"


def test_descendants(target: subprocess.Popen[str]) -> None:
    assert target.pid in descendants(os.getpid())
    assert descendants(target.pid) == []


def test_only_what_is_asked_for_is_read(target: subprocess.Popen[str]) -> None:
    found = inspect_process(target.pid, ("limits",))
    assert found.limits is not None
    assert [found.files, found.mappings, found.memory, found.threads, found.engine] == [None] * 5


def test_a_process_that_has_ended_has_none() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert descendants(gone.pid) == []
