"""Temporary files that were left behind: only what the run itself made, and nobody uses."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llamactl.process.kernel import birth_ns
from llamactl.render.trace.findings.text import findings_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record.ending.files_left import files_left

Build = Callable[..., Capture]
CREATE, EXCLUSIVE = 0o102, 0o302
ENOENT = -2
BEGIN = 5_000_000_000
"""When captures of the builder begin, on their own clock."""
CHILD = "import sys, mmap; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0) if sys.argv[2] == 'map' else None"
HOLD = "; m and f.close(); print('held', flush=True); sys.stdin.read()"


def left(capture: Capture) -> list[str]:
    return [row.name for row in analyse(capture).left_files]


def opened(out: Any, path: bytes, at: int, flags: int = CREATE) -> None:
    out.call("openat", at, 0, 0, flags, 0o600, text=path, ret=9)
    out.call("write", at + 1, 9, 0, 100, ret=100)
    out.call("close", at + 2, 9)


def test_a_file_that_may_have_been_there_is_nobody_s_to_remove(build: Build) -> None:
    capture = build(lambda out: opened(out, b"/tmp/app.log", 10))
    assert left(capture) == []
    assert FindingKind.TEMPORARY_FILES not in {one.kind for one in find(analyse(capture))}


def test_made_exclusively_or_missed_before_is_made_here(build: Build) -> None:
    def fill(out: Any) -> None:
        opened(out, b"/tmp/exclusive", 10, EXCLUSIVE)
        out.call("newfstatat", 20, 0, text=b"/tmp/missed", ret=ENOENT)
        opened(out, b"/tmp/missed", 30)
        opened(out, b"/tmp/missed-later", 40)
        out.call("newfstatat", 50, 0, text=b"/tmp/missed-later", ret=ENOENT)

    assert sorted(left(build(fill))) == ["/tmp/exclusive", "/tmp/missed"]


def test_what_was_removed_isn_t_left(build: Build) -> None:
    def fill(out: Any) -> None:
        opened(out, b"/tmp/gone", 10, EXCLUSIVE)
        out.call("unlink", 20, 0, text=b"/tmp/gone", ret=0)

    assert left(build(fill)) == []


@pytest.mark.parametrize("how", ["flock", "fcntl", "name"])
def test_locks_are_left_on_purpose(build: Build, how: str) -> None:
    path = b"/tmp/hub.lock" if how == "name" else b"/tmp/database"

    def fill(out: Any) -> None:
        out.call("openat", 10, 0, 0, EXCLUSIVE, 0o600, text=path, ret=9)
        if how != "name":
            out.call(how, 25, 9, 6, ret=0)
        out.call("close", 40, 9)

    assert left(build(fill)) == []


def test_what_the_file_system_says_wins(build: Build) -> None:
    def fill(out: Any) -> None:
        for number, name in enumerate((b"born", b"older", b"used", b"unknown", b"gone")):
            opened(out, b"/tmp/" + name, 10 * number, CREATE if name == b"unknown" else EXCLUSIVE)

    facts = [
        {"name": "/tmp/born", "born": True, "in_use": False},
        {"name": "/tmp/older", "born": False, "in_use": False},
        {"name": "/tmp/used", "born": True, "in_use": True},
        {"name": "/tmp/unknown", "born": None, "in_use": False},
    ]
    capture = build(fill, files_left=facts)
    assert left(capture) == ["/tmp/born"]
    assert "1 finding" in (text := findings_text(find(analyse(capture))))
    assert "This run left a temporary file behind: /tmp/born (100 B written)" in text


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that counts as one for temporary files, on a file system that knows births."""
    monkeypatch.setattr(
        "llamactl.trace.record.ending.files_left.TEMPORARY_BYTES", (os.fsencode(tmp_path) + b"/",)
    )
    if birth_ns(os.fsencode(tmp_path)) is None:
        pytest.skip("the file system doesn't keep when files were made (statx, STATX_BTIME)")
    return tmp_path


def looked_up(build: Build, path: Path, opened_ns: int) -> list[dict[str, Any]]:
    """Return what is found of a file that was opened with O_CREAT at a moment of the wall clock."""

    return files_left(build(lambda out: opened(out, os.fsencode(path), 0), clock_offset_ns=opened_ns - BEGIN))


def test_a_file_s_birth_tells_what_this_run_made(build: Build, directory: Path) -> None:
    path = directory / "file"
    before = time.time_ns()
    path.write_bytes(b"x")
    assert looked_up(build, path, before) == [{"name": str(path), "born": True, "in_use": False}]
    assert looked_up(build, path, time.time_ns() + 10**9)[0]["born"] is False
    path.unlink()
    assert looked_up(build, path, before) == []


@pytest.mark.parametrize("how", ["open", "map"])
def test_what_another_process_has_open_or_mapped_is_in_use(build: Build, directory: Path, how: str) -> None:
    path = directory / "file"
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD + HOLD, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        assert looked_up(build, path, time.time_ns())[0]["in_use"] is True
        assert other.stdin
        other.stdin.close()
    assert looked_up(build, path, time.time_ns())[0]["in_use"] is False
