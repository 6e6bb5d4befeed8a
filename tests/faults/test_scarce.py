"""Where something is missing: room, descriptors, memory, streams, a terminal, rights. One line, or the recording."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aftermath import ENDS_S, Room, check_capture

SOAK = "LLAMACTL_SOAK_MOMENTS" in os.environ
ENGINES = ("ptrace", "python", "perf") if SOAK else ("ptrace",)
"""All in a soak; in the suite what is the same for all is tried with one."""
OUTPUTS = ["chrome", "sqlite", "report"] if SOAK else []
PROGRAM = ["sh", "-c", "ls / > /dev/null; echo told; exit 7"]


def run(room: Room, *words: str, **options: Any) -> tuple[int, bytes, bytes]:
    process = room.start(*words, **options)
    out, errors = process.communicate(timeout=ENDS_S * 2)
    for line in (errors or b"").split(b"\n"):
        assert b"Traceback" not in line
        assert b"internal error" not in line, line
    return process.returncode, out, errors


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB, which root may mount."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", ["capture", "jsonl", "temporary", *OUTPUTS])
def test_a_full_disk_ends_the_recording_but_not_the_program(
    tmp_path: Path, small_disk: Path, engine: str, what: str
) -> None:
    if what != "capture" and engine != "ptrace":
        pytest.skip("an output is the same for every engine")
    room = Room(tmp_path)
    mark = tmp_path / "mark"
    script = (
        f"for i in 1 2 3 4 5 6 7 8; do ls -lR /usr/include > /dev/null; done; echo ended > {mark}; exit 7"
    )
    option = {"capture": "-o", "temporary": "-q"}.get(what, f"--{what}")
    words = [option, str(small_disk / "x")] if what != "temporary" else ["-q"]
    if what == "temporary":
        room.temporary.rmdir()
        room.temporary.symlink_to(small_disk)
    status, _, errors = run(room, "trace", "--engine", engine, *words, "--", "sh", "-c", script)
    assert mark.read_text() == "ended\n"
    assert status in {7, 125}
    assert status == 7 or b"space" in errors
    check_capture(small_disk / "x") if what == "capture" else None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("most", [20, 40, 80])
def test_few_descriptors(tmp_path: Path, engine: str, most: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    status, out, errors = run(
        Room(tmp_path), "trace", "-q", "--engine", engine, "--", *PROGRAM, preexec_fn=limit
    )
    assert (status, out) == (7, b"told\n") or (status in {2, 125} and errors.count(b"\n") >= 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("megabytes", [300, 600, 1200])
def test_little_address_space(tmp_path: Path, engine: str, megabytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    room = Room(tmp_path)
    process = room.start("trace", "-q", "--engine", engine, "--", *PROGRAM, preexec_fn=limit)
    out, errors = process.communicate(timeout=ENDS_S * 2)
    assert (process.returncode, out) == (7, b"told\n") or errors
    assert room.processes() == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams(tmp_path: Path, engine: str, closed: tuple[int, ...]) -> None:
    mark = tmp_path / "mark"
    room = Room(tmp_path)
    redirect = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)
    words = [sys.executable, "-m", "llamactl", "trace", "--engine", engine, "--", "sh", "-c"]
    script = f'"$@" {redirect}; echo $?'
    done = subprocess.run(
        ["bash", "-c", script, "x", *words, f"ls / > /dev/null; echo x > {mark}; exit 7"],
        capture_output=True, check=False, env=room.environment, timeout=ENDS_S * 2,
    )  # fmt: skip
    assert mark.exists()
    assert done.stdout.split()[-1] == b"7"
    assert b"Traceback" not in done.stderr
    room.check_nothing_left()


def test_no_terminal_and_no_session(tmp_path: Path) -> None:
    room = Room(tmp_path)
    status, out, _ = run(room, "trace", "--", *PROGRAM, start_new_session=True, stdin=subprocess.DEVNULL)
    assert (status, out) == (7, b"told\n")


def without_capabilities() -> None:
    """Drop all from the bounding set: what is executed next, as root even, gains none (capabilities(7))."""
    prctl = ctypes.CDLL(None).prctl
    for capability in range(64):
        prctl(24, capability, 0, 0, 0)


@pytest.mark.parametrize("engine", [None, *ENGINES])
def test_a_user_without_any_capability(tmp_path: Path, engine: str | None) -> None:
    room = Room(tmp_path)
    words = ["trace", *(["--engine", engine] if engine else []), "--", *PROGRAM]
    status, out, errors = run(room, *words, preexec_fn=without_capabilities)
    if engine == "perf":
        assert (status, out) in {(7, b"told\n"), (125, b"")}
        assert status == 7 or b"CAP_" in errors or b"sudo" in errors
    else:
        assert (status, out) == (7, b"told\n")
        assert b"exit 7" in errors
    room.check_nothing_left()
