"""Refusals that matter: which call, on what, and the limit that did it; tries that are meant to fail aren't any."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import clean_environment

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.mechanisms.syscalls.refusals import By
from llamactl.trace.record.ending.refused import RefusedLimits

Build = Callable[..., Capture]
LIBRARY = b"/opt/engine/libllama.so"
EXEC = 5  # PROT_READ | PROT_EXEC
LIMITS = {
    "pid": 1000,
    "exempt": False,
    "seccomp": False,
    "resources": {"nofile": 64, "processes": 100, "address_space": None},
    "pids_group": {"path": "/sys/fs/cgroup/app", "limit": 14, "refused": 3},
    "mounts": [["/", "ext4", []], ["/opt", "tmpfs", ["noexec"]], ["/opt/fine", "tmpfs", []]],
}
HOLE = b"\x02\x00\x1f\x90\x0a\x00\x00\x01"  # 10.0.0.1:8080


def limits(**changed: Any) -> list[dict[str, Any]]:
    return [{**LIMITS, **changed}]


def calls_row(report: TraceReport) -> tuple[str, str]:
    (row,) = [one for one in mechanisms(report) if one.name == "System calls"]
    return " ".join(row.lines), row.verdict


def mapped(out: Any, path: bytes, error: int, at: int = 0) -> None:
    out.call("openat", at, 0, 0, 0, text=path, ret=3)
    out.call("mmap", at + 20, 0, 4096, EXEC, 2, 3, 0, ret=-error)


def test_a_library_on_a_mount_without_the_right_to_execute(build: Build) -> None:
    report = analyse(build(lambda out: mapped(out, LIBRARY, errno.EPERM), limits=limits(), exit_code=1))
    (row,) = report.refusals
    assert (row.name, row.error, row.object, row.by, row.limit) == (
        "mmap", errno.EPERM, LIBRARY, By.NOEXEC, "/opt",
    )  # fmt: skip
    first = find(report)[0]
    assert first.kind.value == "refused", "what ended the run comes first"
    assert finding_text(first).startswith(
        "mmap of /opt/engine/libllama.so was refused once, EPERM: the file system at /opt is mounted noexec."
    )
    assert calls_row(report)[1] == "REFUSED"


def test_a_mount_inside_of_it_that_may_execute_is_not_blamed(build: Build) -> None:
    path = b"/opt/fine/libllama.so"
    (row,) = analyse(build(lambda out: mapped(out, path, errno.EPERM), limits=limits())).refusals
    assert row.by is By.UNKNOWN


def test_a_filter_is_blamed_only_where_one_is_in_force(build: Build) -> None:
    path = b"/opt/fine/libllama.so"
    (row,) = analyse(build(lambda out: mapped(out, path, errno.EPERM), limits=limits(seccomp=True))).refusals
    assert row.by is By.SECCOMP


@pytest.mark.parametrize(
    ("changed", "by", "limit", "allowed"),
    [
        ({}, By.PIDS_GROUP, "/sys/fs/cgroup/app", 14),
        ({"pids_group": {"path": "/g", "limit": 14, "refused": None}}, By.PIDS_GROUP, "/g", 14),
        ({"pids_group": {"path": "/g", "limit": 14, "refused": 0}}, By.PROCESSES, "", 100),
        ({"pids_group": None}, By.PROCESSES, "", 100),
        ({"pids_group": None, "exempt": True}, By.UNKNOWN, "", None),
        ({"pids_group": "nonsense", "resources": 5}, By.UNKNOWN, "", None),
    ],
)
def test_a_thread_that_is_not_born(
    build: Build, changed: dict[str, Any], by: By, limit: str, allowed: int | None
) -> None:
    def fill(out: Any) -> None:
        for at in range(3):
            out.call("clone3", at * 10, 0, 88, ret=1001 + at)
        out.call("clone3", 40, 0, 88, ret=-errno.EAGAIN)

    (row,) = analyse(build(fill, limits=limits(**changed))).refusals
    assert (row.by, row.limit, row.allowed, row.count, row.tries) == (by, limit, allowed, 1, 4)


def test_other_limits(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/etc/x", ret=-errno.EMFILE)
        out.call("socket", 10, 2, 1, 0, ret=-errno.EMFILE)
        out.call("bind", 20, 3, 0, 16, text=HOLE, ret=-errno.EADDRINUSE)
        out.call("write", 30, 3, 0, 10, ret=-errno.ENOSPC)

    report = analyse(build(fill, limits=limits()))
    assert [(row.name, row.by, row.allowed) for row in report.refusals] == [
        ("openat", By.FILES, 64), ("socket", By.FILES, 64), ("bind", By.IN_USE, None), ("write", By.SPACE, None),
    ]  # fmt: skip
    assert report.refusals[2].object == b"10.0.0.1:8080"
    for finding in find(report):
        assert finding_text(finding).endswith(".") or "ss -lptn" in finding_text(finding)


def test_tries_that_are_meant_to_fail(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/etc/ld.so.preload", ret=-errno.ENOENT)
        out.call("openat", 10, 0, 0, 0, text=b"/sys/secret", ret=-errno.EACCES)
        out.call("read", 20, 0, 0, 10, ret=-errno.EAGAIN)
        mapped(out, b"/tmp/ffiXb3kQ9", errno.EPERM, at=30)  # libffi looks for a place for code
        out.call("openat", 60, 0, 0, 0, text=b"/usr/lib/a/libz.so.1", ret=-errno.ENOENT)
        out.call("openat", 70, 0, 0, 0, text=b"/usr/lib/libz.so.1", ret=4)

    report = analyse(build(fill, limits=limits(), exit_code=1))
    assert (report.refusals, report.missing, report.unanswered) == ([], [], [])


def test_a_call_that_is_denied_every_time_is_not_ok(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("get_mempolicy", 0, 0, 0, 0, ret=-errno.EPERM)
        out.call("get_mempolicy", 10, 0, 0, 0, ret=-errno.EPERM)
        out.call("getpid", 20, ret=1)

    text, verdict = calls_row(analyse(build(fill)))
    assert verdict == "FAILS"
    assert "get_mempolicy failed all 2 times: EPERM" in text


def test_a_library_that_is_nowhere_counts_where_the_program_failed(build: Build) -> None:
    def fill(out: Any) -> None:
        for at, path in enumerate((b"/a/libcuda.so.1", b"/a/libmine.so", b"/b/libmine.so")):
            out.call("openat", at * 10, 0, 0, 0, text=path, ret=-errno.ENOENT)

    assert analyse(build(fill, exit_code=0)).missing == []
    report = analyse(build(fill, exit_code=1))
    (row,) = report.missing
    assert (row.name, row.places) == (b"libmine.so", (b"/a/libmine.so", b"/b/libmine.so"))
    assert "libmine.so was looked for and not found: /a/libmine.so, /b/libmine.so" in finding_text(
        find(report)[0]
    )


def test_a_model_that_is_nowhere_counts_always(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/m/tiny.gguf", ret=-errno.ENOENT)

    assert [row.name for row in analyse(build(fill)).missing] == [b"tiny.gguf"]


def test_connects_that_nobody_answers(build: Build) -> None:
    second = 1_000_000

    def fill(out: Any) -> None:
        for at in (0, 3 * second):
            out.call("connect", at, 5, 0, 16, text=HOLE, ret=-errno.EINPROGRESS)
            out.call("poll", at + 100, 0, 1, 2000, ret=0, took_us=2 * second)
            out.call("close", at + 2 * second + 200, 5, ret=0)
        out.call("connect", 7 * second, 6, 0, 16, text=HOLE, ret=-errno.ETIMEDOUT, took_us=second)

    report = analyse(build(fill))
    (row,) = report.unanswered
    assert (row.address, row.count) == (b"10.0.0.1:8080", 3)
    assert 4.9e9 < row.waited_ns < 5.1e9
    assert calls_row(report)[1] == "FAILS"
    (finding,) = [one for one in find(report) if one.kind.value == "unanswered-connects"]
    assert finding_text(finding).startswith(
        "3 connections to 10.0.0.1:8080 got no answer: 5 s were spent waiting"
    )


def test_connects_that_are_answered_or_left(build: Build) -> None:
    second = 1_000_000

    def fill(out: Any) -> None:
        out.call("connect", 0, 4, 0, 16, text=HOLE, ret=-errno.EINPROGRESS)  # begun, and not waited for
        out.call("connect", 10, 5, 0, 16, text=HOLE, ret=-errno.EINPROGRESS)
        out.call("poll", 100, 0, 1, 2000, ret=0, took_us=second)
        out.call("poll", second + 200, 0, 1, 2000, ret=1, took_us=second)
        out.call("getsockopt", 2 * second + 300, 5, 1, 4, 0, 0, ret=0)
        out.call("close", 2 * second + 400, 5, ret=0)
        out.call("connect", 3 * second, 6, 0, 16, text=HOLE, ret=-errno.ECONNREFUSED)
        out.call("close", 4 * second, 4, ret=0)

    assert analyse(build(fill)).unanswered == []


@pytest.mark.parametrize("wrong", [5, [5], [{}], [{"pid": "x"}], [{"pid": 1000, "mounts": [1, [1, 2, 3]]}]])
def test_limits_that_a_capture_says_wrongly(build: Build, wrong: object) -> None:
    (row,) = analyse(build(lambda out: mapped(out, LIBRARY, errno.EPERM), limits=wrong)).refusals
    assert row.by is By.UNKNOWN


def test_the_limits_of_a_process_are_kept_when_it_is_refused_something() -> None:
    import numpy as np

    from llamactl.trace.capture.record import RECORD, Kind

    records = np.zeros(2, RECORD)
    records["kind"], records["pid"], records["ret"] = Kind.SYSCALL, os.getpid(), [0, -errno.EPERM]
    refused = RefusedLimits()
    refused.saw(records[:1])
    assert refused.facts == {}
    refused.saw(records)
    (facts,) = refused.finish()
    assert facts["pid"] == os.getpid() and not facts["inherited"]
    assert ["/proc", "proc"] in [mount[:2] for mount in facts["mounts"]]
    json.dumps(facts)


def test_a_real_mount_without_the_right_to_execute(tmp_path: Path) -> None:
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs root for a mount")
    inner = (
        f"mount -t tmpfs -o noexec tmpfs {tmp_path} && cp {shutil.which('true')} {tmp_path}/libown.so && "
        f"exec '{sys.executable}' -m llamactl trace --format json --report {tmp_path}.json -- "
        f"'{sys.executable}' -c 'import ctypes; ctypes.CDLL(\"{tmp_path}/libown.so\")'"
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", inner],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    found = [
        one
        for one in json.loads(Path(f"{tmp_path}.json").read_text())["findings"]
        if one["code"] == "refused"
    ]
    assert [(one["figures"]["by"], one["figures"]["limit"]) for one in found] == [("noexec", str(tmp_path))]
