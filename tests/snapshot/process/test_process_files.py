"""Open files against /proc and lsof."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llamactl.process.files.file_roles import RoleFinder, rpc_ports
from llamactl.process.files.files import OpenFile
from llamactl.process.files.sockets import Socket
from llamactl.snapshot.process.snapshot import inspect_process

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    return tmp_path


@pytest.fixture
def target(start: Start, place: Path) -> subprocess.Popen[str]:
    return start("open_files.py", str(place))


def files_of(pid: int) -> list[OpenFile]:
    files = inspect_process(pid, ("files",)).files
    assert files is not None
    return list(files)


def by_name(files: list[OpenFile], name: str) -> OpenFile:
    return next(entry for entry in files if entry.target.endswith(name))


def test_descriptors_are_those_of_proc(target: subprocess.Popen[str]) -> None:
    files = files_of(target.pid)
    assert [entry.fd for entry in files] == sorted(
        int(link.name) for link in Path(f"/proc/{target.pid}/fd").iterdir()
    )
    for entry in files:
        info = Path(f"/proc/{target.pid}/fdinfo/{entry.fd}").read_text()
        position = int(info.split("pos:\t")[1].split("\n")[0])
        flags = int(info.split("flags:\t")[1].split("\n")[0], 8)
        assert entry.offset in (None, position)
        assert entry.mode == ("r", "w", "rw")[flags & os.O_ACCMODE] + ("a" if flags & os.O_APPEND else "")


def test_descriptors_and_types_are_those_of_lsof(target: subprocess.Popen[str]) -> None:
    if not shutil.which("lsof"):
        pytest.skip("lsof isn't installed")
    output = subprocess.run(
        ["lsof", "-p", str(target.pid), "-F", "ft"], capture_output=True, text=True, check=False
    ).stdout
    theirs: dict[int, str] = {}
    fd = None
    for line in output.splitlines():
        if line.startswith("f"):
            fd = int(line[1:]) if line[1:].isdigit() else None
        elif line.startswith("t") and fd is not None:
            theirs[fd] = line[1:]
    same = {"REG": ("file", "memfd"), "DIR": ("directory",), "CHR": ("device",), "FIFO": ("pipe", "fifo"),
            "a_inode": ("eventfd", "epoll"), "unix": ("socket",), "IPv4": ("socket",),
            "sock": ("socket",)}  # fmt: skip
    files = files_of(target.pid)
    assert {entry.fd for entry in files} == set(theirs)
    for entry in files:
        assert entry.kind in same[theirs[entry.fd]], entry


def test_offset_size_and_role(target: subprocess.Popen[str]) -> None:
    files = files_of(target.pid)
    plain = by_name(files, "plain.txt")
    # CPython reads ahead only when asked to read: seek moves the descriptor itself.
    assert (plain.kind, plain.mode, plain.offset, plain.size_bytes) == ("file", "r", 42, 100)
    assert by_name(files, "appended.log").mode == "wa"
    assert by_name(files, "appended.log").role == "temporary file"  # pytest keeps it below /tmp
    assert by_name(files, "model.gguf").role == "model weights"


def test_a_deleted_file_keeps_its_bytes(target: subprocess.Popen[str]) -> None:
    gone = by_name(files_of(target.pid), "gone.bin")
    assert gone.deleted
    assert gone.size_bytes == 2_000_000
    assert gone.disk_bytes is not None and gone.disk_bytes >= 2_000_000


def test_memory_events_and_polls(target: subprocess.Popen[str]) -> None:
    files = files_of(target.pid)
    assert by_name(files, "memfd:memory").kind == "memfd"
    kinds = {entry.kind: entry for entry in files}
    assert kinds["epoll"].detail == "watches 1"
    if hasattr(os, "eventfd"):
        assert kinds["eventfd"].detail == "count 3"
    assert {"directory", "device", "pipe", "socket"} <= set(kinds)


def test_both_ends(target: subprocess.Popen[str]) -> None:
    files = files_of(target.pid)
    ends = [entry for entry in files if entry.kind == "pipe" and entry.peers == () and entry.fd > 2]
    assert not ends
    stdin = files[0]
    assert target.stdin is not None
    assert (os.getpid(), target.stdin.fileno()) in [peer[:2] for peer in stdin.peers]
    pairs = [entry for entry in files if entry.detail.startswith("unix")]
    assert {entry.peers[0][1] for entry in pairs} == {entry.fd for entry in pairs}
    established = [entry for entry in files if "established" in entry.detail]
    assert {entry.peers[0][1] for entry in established} == {entry.fd for entry in established}
    assert len(established) == 2 and "127.0.0.1:" in established[0].detail and "→" in established[0].detail
    assert next(entry for entry in files if "listening" in entry.detail).role == "server"


def test_an_rpc_connection_is_known_by_its_port() -> None:
    ports = rpc_ports(["llama-cli", "--rpc", "10.0.0.1:50052,[::1]:7000"], {"LLAMA_ARG_RPC": "other:9"})
    assert ports == {"50052", "7000", "9"}
    finder = RoleFinder(lambda fd: b"", rpc_ports=ports)
    end = Socket(1, "tcp", "127.0.0.1:40000", "10.0.0.1:50052", "established")
    assert finder.socket(end) == "RPC connection"
    assert finder.socket(Socket(1, "tcp", "127.0.0.1:40000", "10.0.0.1:80", "established")) == ""
