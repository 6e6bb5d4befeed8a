"""A file system that doesn't answer: it is said so, all else is shown, in time, and nothing of ours stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import clean_environment

from llamactl.process.answering import Asker, NotAnsweringError, answers
from llamactl.process.files.mounts import Mount, mount_of, read_mounts

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
IN_TIME_S = 20.0
FOREVER_S = 60.0


class Silent:
    """A mounted file system, and a program that has its file open, mapped, and its folder as current directory."""

    def __init__(self, folder: Path, content: Path) -> None:
        folder.mkdir()
        self.file = folder / "file"
        self.server = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "silent_files.py"), str(folder), str(content)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.line(self.server) != "mounted":
            pytest.skip("no FUSE here: " + self.server.communicate()[1].strip().split("\n")[-1])
        self.user = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "hold_files.py"), str(self.file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.line(self.user).startswith("ready")

    @staticmethod
    def line(program: subprocess.Popen[str]) -> str:
        assert program.stdout is not None
        return program.stdout.readline().strip()

    def fall_silent(self) -> None:
        self.server.send_signal(signal.SIGUSR1)
        assert self.line(self.server) == "silent"

    def end(self) -> None:
        self.server.terminate()
        self.server.communicate()
        if hasattr(self, "user"):
            self.user.kill()
            self.user.communicate()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Silent]:
    content = tmp_path / "content"
    content.write_bytes(b"GGUF" + bytes(3 << 20))
    found = Silent(tmp_path / "mounted", content)
    try:
        found.fall_silent()
        yield found
    finally:
        found.end()


def llamactl(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run it with its output through pipes: a process of ours that held them would keep them from ending."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", *arguments],
        capture_output=True, text=True, timeout=FOREVER_S, check=False, env=clean_environment(),
    )  # fmt: skip
    return done, time.monotonic() - begun


def test_a_process_with_such_a_file_is_shown_in_time(silent: Silent) -> None:
    done, took = llamactl("inspect", str(silent.user.pid), "--json")
    assert done.returncode == 0, done.stderr
    assert took < IN_TIME_S
    (process,) = json.loads(done.stdout)["processes"]
    entry, *others = [one for one in process["files"] if one["target"] == str(silent.file)]
    assert {one["detail"] for one in others} <= {"not answering"}  # Python's mmap has one of its own
    assert (entry["detail"], entry["size_bytes"], entry["role"]) == ("not answering", None, "")
    assert {one["fd"] for one in process["files"]} >= {0, 1, 2, entry["fd"]}
    assert process["identity"]["working_directory"] == str(silent.file.parent)
    assert any(one["path"] == str(silent.file) for one in process["mappings"])
    assert process["threads"]["threads"]
    (note,) = [one["message"] for one in process["notes"] if "doesn't answer" in one["message"]]
    assert note.startswith(f"the file system at {silent.file.parent} (fuse) doesn't answer")
    (finding,) = [one for one in process["findings"] if one["code"] == "not-answering"]
    assert f"{entry['fd']} ({silent.file})" in finding["text"]


def test_a_model_on_it_is_refused_in_time(silent: Silent) -> None:
    done, took = llamactl("inspect", str(silent.file))
    assert took < IN_TIME_S
    assert done.returncode == 2
    assert "its file system doesn't answer" in done.stderr


def test_attaching_to_the_process_ends_when_it_should(silent: Silent) -> None:
    done, took = llamactl("trace", "-p", str(silent.user.pid), "--duration", "1")
    if "can't attach" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert took < IN_TIME_S


@pytest.mark.parametrize("engine", ["perf", "ptrace"])
def test_a_thread_that_such_a_file_holds_is_let_go_of(silent: Silent, engine: str) -> None:
    held = subprocess.Popen(["cat", str(silent.file)], stdout=subprocess.DEVNULL)
    begun = time.monotonic()
    while (
        Path(f"/proc/{held.pid}/wchan").read_text() in {"", "0"}
        or b"cat" not in Path(f"/proc/{held.pid}/cmdline").read_bytes()
    ):
        assert time.monotonic() - begun < IN_TIME_S
    done, took = llamactl("trace", "-p", str(held.pid), "--engine", engine, "--duration", "1")
    silent.server.terminate()  # the kernel then fails what waits
    held.wait()
    if done.returncode == 125 and "can't" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert took < IN_TIME_S
    said = " ".join(done.stderr.split())
    assert "(main) has stood for " in said and "its file system doesn't answer" in said


def test_it_is_asked_once(silent: Silent) -> None:
    asker = Asker(limit_s=0.2)
    with pytest.raises(NotAnsweringError):
        asker.ask(str(silent.file))
    begun = time.monotonic()
    for path in (silent.file, silent.file.parent, f"/proc/{silent.user.pid}/cwd/file"):
        with pytest.raises(NotAnsweringError):
            asker.ask(str(path), read=True)
    assert time.monotonic() - begun < 0.2
    (found,) = asker.silent.values()
    assert (found.place, found.kind) == (str(silent.file.parent), "fuse")
    assert asker.ask("/proc/self/stat").mode


def test_answers_are_those_of_stat(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5000)
    asker = Asker()
    found, truth = asker.ask(str(file), read=True), file.stat()
    assert (found.mode, found.size, found.inode, found.device, found.links, found.blocks) == (
        truth.st_mode, truth.st_size, truth.st_ino, truth.st_dev, truth.st_nlink, truth.st_blocks,
    )  # fmt: skip
    assert os.major(asker.ask("/dev/null", read=True).special_device) == 1
    with pytest.raises(FileNotFoundError):
        asker.ask(str(tmp_path / "nothing"))
    assert answers(tmp_path / "nothing")


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Asker().ask(str(tmp_path / "pipe"), read=True).size == 0


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        r"40 22 0:35 / /mnt/a\040b rw,noexec master:2 - fuse.sshfs host:/ rw,user_id=0" + "\nnonsense\n"
    )
    root, other = read_mounts(tmp_path)
    assert root == Mount(22, "254:0", "/", "ext4", frozenset({"rw", "relatime"})) and root.local
    assert (other.place, other.kind, other.local) == ("/mnt/a b", "fuse.sshfs", False)
    assert "noexec" in other.options
    assert mount_of("/mnt/a b/c", [root, other]) is other
    assert mount_of("/mnt/a bc", [root, other]) is root


@pytest.mark.parametrize("folder", ["here", "a..b"])
def test_a_relative_path_and_a_descriptor_mean_in_the_child_what_they_mean_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """The child has another directory: `llamactl inspect model.gguf` found nothing."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "file").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path / folder)
    asker = Asker()
    try:
        for path in ("file", "./file", f"../{folder}/file"):
            assert asker.ask(path, read=True).size == 5
        with Path("file").open("rb") as file:
            for place in ("/proc/self/fd", "/dev/fd", f"/proc/{os.getpid()}/fd"):
                assert asker.ask(f"{place}/{file.fileno()}", read=True).size == 5
    finally:
        asker._end()


def test_a_model_is_named_from_where_one_stands(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(model_path)
    for way in ("model.gguf", "./model.gguf", "/dev/stdin"):
        with model_path.open("rb") as model:
            done = subprocess.run(
                [sys.executable, "-m", "llamactl", "inspect", way],
                cwd=tmp_path, env=clean_environment(), stdin=model, capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "272 tensors" in done.stdout
