"""What is refused is said with its reason and the exact remedy; what still works is used instead."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recording import NUMBERS, Program

import llamactl
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.refusal import CAP_PERFMON, CAP_SYS_PTRACE, Rights

pytest_plugins = ["recording"]

ROOT = Path(llamactl.__file__).resolve().parents[1]
"""Where the package that is tested lies."""
DRIVER = textwrap.dedent("""
    import json, sys
    from llamactl.errors import LlamactlError
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.syscalls.base import Command
    from llamactl.trace.record.session import record
    from llamactl.trace.record.session_types import SessionOptions
    engine, capture, target, *argv = sys.argv[1:]
    try:
        result = record(int(target) if target.isdigit() else Command((target, *argv)),
                        SessionOptions(engine=engine if engine != "auto" else None), CaptureWriter(capture))
        texts = {Capture.open(capture).text(r).decode() for c in Capture.open(capture).chunks() for r in c["text"]}
        print(json.dumps({"engine": result.engine, "reasons": result.reasons, "notes": result.notes,
                          "exit": result.exit_code, "texts": sorted(texts), "complete": result.complete}))
    except LlamactlError as error:
        print(json.dumps({"message": error.message, "hint": error.hint}))
""")

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up rights in the ways tested here")
x86 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the numbers of the refused calls are x86-64's"
)


def under(prefix: list[str], *argv: str) -> Any:
    """Record under a launcher that takes rights away, and return what came of it."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [*prefix, sys.executable, "-c", DRIVER, *argv]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def refuse(program: Program) -> Callable[..., list[str]]:
    launcher = program("refuse")
    return lambda *names: [launcher, *(str(NUMBERS[name]) for name in names), "--"]


@x86
def test_a_profile_that_refuses_ptrace(tmp_path: Path, refuse: Callable[..., list[str]]) -> None:
    got = under(refuse("ptrace"), "ptrace", str(tmp_path / "c"), "/bin/true")
    assert got["message"] == "can't trace a program that was started for it: a seccomp profile refuses ptrace"
    assert "--cap-add SYS_PTRACE" in got["hint"]


@x86
@is_root
def test_without_ptrace_perf_still_records_but_without_strings(
    tmp_path: Path, refuse: Callable[..., list[str]]
) -> None:
    got = under(refuse("ptrace", "bpf"), "auto", str(tmp_path / "c"), "/bin/true")
    assert got["engine"] == "perf"
    assert got["exit"] == 0
    assert got["reasons"][0].startswith("no strings: ")


@x86
@is_root
def test_without_ptrace_bpf_programs_still_read_strings(
    tmp_path: Path, refuse: Callable[..., list[str]]
) -> None:
    got = under(refuse("ptrace"), "auto", str(tmp_path / "c"), "/bin/true")
    assert got["engine"] == "perf"
    assert got["exit"] == 0
    assert "/etc/ld.so.cache" in got["texts"]
    assert got["reasons"][0].startswith("no signals, exit statuses and arguments of new programs: ")


@x86
def test_a_profile_that_refuses_perf(tmp_path: Path, refuse: Callable[..., list[str]]) -> None:
    got = under(refuse("perf_event_open"), "auto", str(tmp_path / "c"), "/bin/true")
    assert got["engine"] == "ptrace"
    assert got["complete"]
    assert "the engine perf can't be used" in got["reasons"][0]


@x86
@is_root
def test_the_profile_is_named_where_the_capability_is_there(
    tmp_path: Path, refuse: Callable[..., list[str]]
) -> None:
    got = under(refuse("perf_event_open"), "perf", str(tmp_path / "c"), "/bin/true")
    assert got["message"] == "the engine perf can't be used: a seccomp profile refuses perf_event_open"
    assert "--cap-add PERFMON" in got["hint"]


@x86
def test_a_profile_that_refuses_process_vm_readv(tmp_path: Path, refuse: Callable[..., list[str]]) -> None:
    got = under(refuse("process_vm_readv"), "ptrace", str(tmp_path / "c"), "/bin/true")
    assert "/etc/ld.so.cache" in got["texts"]
    assert "process_vm_readv" in got["notes"][0]


@x86
@is_root
def test_another_users_process(tmp_path: Path, program: Program) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv isn't installed")
    target: Any = subprocess.Popen([program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target.stdout.readline()
    # The capability to read is kept, since the interpreter may lie where only root can.
    caps = [
        "--inh-caps=-all,+dac_read_search,+dac_override",
        "--ambient-caps=-all,+dac_read_search,+dac_override",
    ]
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *caps]
    got = under(prefix, "auto", str(tmp_path / "c"), str(target.pid))
    assert "it belongs to user 0, llamactl runs as user 65534" in got["message"]
    assert "--cap-add SYS_PTRACE" in got["hint"]
    started = under(prefix, "auto", str(tmp_path / "c"), "/bin/true")
    assert started["engine"] == "ptrace"  # Starting a program takes no right.
    assert started["complete"]
    assert "CAP_PERFMON" in started["reasons"][0] or "tracefs" in started["reasons"][0]
    target.communicate(b"")


@is_root
def test_a_container_without_the_capability(tmp_path: Path, program: Program) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv isn't installed")
    target: Any = subprocess.Popen([program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    target.stdout.readline()
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    got = under(prefix, "ptrace", str(tmp_path / "c"), str(target.pid))
    assert "it has more rights than llamactl" in got["message"]
    assert "--cap-add SYS_PTRACE" in got["hint"]
    started = under(prefix, "ptrace", str(tmp_path / "c"), "/bin/true")
    assert started["complete"], started["notes"]
    target.communicate(b"")


def rights(**kw: Any) -> Rights:
    return Rights(
        **(
            {
                "uid": 1000,
                "capabilities": 0,
                "seccomp": False,
                "yama": None,
                "paranoid": 2,
                "target_uid": 1000,
            }
            | kw
        )
    )


@pytest.mark.parametrize(
    ("given", "reason", "remedy"),
    [
        (rights(yama=1), "ptrace_scope is 1", "llamactl trace -- PROGRAM"),
        (rights(yama=2), "ptrace_scope is 2", "sudo"),
        (rights(yama=3, capabilities=1 << CAP_SYS_PTRACE), "ptrace_scope is 3", "next boot"),
        (rights(target_uid=7), "belongs to user 7", "as that user"),
        (rights(seccomp=True), "seccomp profile", "--security-opt"),
        (rights(), "more rights", "sudo"),
        (
            rights(target_tracer=5, target_tracer_name="gdb"),
            "already traced by process 5 (gdb)",
            "end that one",
        ),
    ],
)
def test_attach_refused(given: Rights, reason: str, remedy: str) -> None:
    error = refusal.attach_refused(42, errno.EPERM, given)
    assert error.message.startswith("can't attach to process 42: ")
    assert reason in error.message
    assert remedy in error.hint


def test_a_process_that_has_ended_is_no_kernel_thread() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # It stays a zombie.
    try:
        error = refusal.attach_refused(pid, errno.EPERM, rights(capabilities=1 << CAP_SYS_PTRACE))
    finally:
        os.waitpid(pid, 0)
    assert (
        error.message == f"can't attach to process {pid}: it has ended, and its parent hasn't asked how yet"
    )
    assert not error.hint


@pytest.mark.parametrize(
    ("yama", "reason", "remedy"),
    [
        (2, "ptrace_scope is 2", "ptrace_scope=1"),
        (3, "ptrace_scope is 3", "engine perf"),
        (1, "seccomp", "SYS_PTRACE"),
    ],
)
def test_start_refused(yama: int, reason: str, remedy: str) -> None:
    error = refusal.start_refused(errno.EPERM, rights(yama=yama))
    assert reason in error.message
    assert remedy in error.hint


def test_perf_refused() -> None:
    error = refusal.perf_refused(errno.EACCES, rights(paranoid=3))
    assert "CAP_PERFMON" in error.message
    assert "perf_event_paranoid is 3" in error.message
    assert "ulimit" in refusal.perf_refused(errno.EMFILE, rights(capabilities=1 << CAP_PERFMON)).hint
    assert "gid=$(id -g) /sys/kernel/tracing" in refusal.tracefs_refused(errno.EACCES, rights()).hint


ALL = (1 << 41) - 1


@pytest.mark.parametrize(
    ("error", "reason", "remedy"),
    [
        (
            refusal.tracefs_refused(errno.ENOENT, rights(uid=0, seccomp=True, filtered=frozenset({"perf_event_open"}))),
            "a seccomp profile refuses perf_event_open", "--cap-add PERFMON",
        ),
        (refusal.tracefs_refused(errno.ENOENT, rights(uid=0)), "which root hasn't got here", "--cap-add PERFMON -v"),
        (
            refusal.tracefs_refused(errno.ENOENT, rights(uid=0, capabilities=1 << CAP_PERFMON)),
            "mounting it needs CAP_SYS_ADMIN", "-v /sys/kernel/tracing",
        ),
        (
            refusal.tracefs_refused(errno.ENOENT, rights(uid=0, capabilities=ALL, filtered=frozenset({"mount"}))),
            "a seccomp profile refuses mount", "-v /sys/kernel/tracing",
        ),
        (refusal.perf_refused(errno.EACCES, rights(uid=0)), "which root hasn't got here", "--cap-add PERFMON"),
        (
            refusal.perf_refused(errno.EPERM, rights(uid=0, seccomp=True, filtered=frozenset({"perf_event_open"}))),
            "a seccomp profile", "--cap-add PERFMON",
        ),
        (refusal.attach_refused(4, errno.EPERM, rights(uid=0, target_uid=7)), "user 7", "--cap-add SYS_PTRACE"),
        (refusal.attach_refused(4, errno.EPERM, rights(uid=0, target_uid=0)), "more rights", "--cap-add SYS_PTRACE"),
        (refusal.attach_refused(4, errno.EPERM, rights(uid=0, target_uid=0, yama=1)), "is 1", "on the host"),
        (
            refusal.attach_refused(4, errno.EPERM, rights(target_uid=1000, filtered=frozenset({"ptrace"}), yama=1)),
            "a seccomp profile refuses ptrace", "--security-opt",
        ),
        (refusal.uprobes_refused("No such file or directory", rights(uid=0)), "tracefs", "outside of the container"),
        (
            refusal.uprobes_refused("x", rights(uid=0, capabilities=ALL, filtered=frozenset({"mount"}))), "tracefs",
            "A seccomp profile refuses mount",
        ),
    ],
)  # fmt: skip
def test_who_is_root_already_is_not_told_to_be(error: Any, reason: str, remedy: str) -> None:
    assert reason in error.message
    assert remedy in error.hint
    assert "llamactl with sudo" not in error.hint and "as root" not in error.hint


def test_other_users_are_told_how_to_be() -> None:
    assert "sudo" in refusal.uprobes_refused("x", rights()).hint
    assert "sudo" in refusal.tracefs_refused(errno.ENOENT, rights()).hint
    assert refusal.programs_refused(errno.EPERM, rights()).endswith("run llamactl with sudo")
    assert "sudo" not in refusal.programs_refused(errno.EPERM, rights(uid=0))


@x86
@is_root
def test_root_without_rights_behind_a_filter_is_told_of_both_as_in_a_container(
    tmp_path: Path, refuse: Callable[..., list[str]]
) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv isn't installed")
    kept = "-all,+chown,+dac_override,+fowner,+kill,+setgid,+setuid,+setpcap,+mknod"
    prefix = ["setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}"]
    command = [*prefix, *refuse("perf_event_open", "bpf", "mount", "unshare")]
    got = under(command, "perf", str(tmp_path / "c"), "/bin/true")
    assert got["message"] == "the engine perf can't be used: a seccomp profile refuses perf_event_open"
    assert "sudo" not in got["hint"]
    unfiltered = under(prefix, "perf", str(tmp_path / "c"), "/bin/true")
    assert "need CAP_PERFMON, which root hasn't got here" in unfiltered["message"]
    assert "--cap-add PERFMON" in unfiltered["hint"] and "sudo" not in unfiltered["hint"]


@x86
def test_a_filter_is_known_by_what_impossible_arguments_get(refuse: Callable[..., list[str]]) -> None:
    source = (
        "from llamactl.trace.record.syscalls import refusal; print(sorted(refusal.read_rights().filtered))"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    found = [
        subprocess.run(
            [*refuse(*names), sys.executable, "-c", source],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for names in ((), ("perf_event_open", "mount"), ("ptrace",))
    ]
    assert found == ["[]", "['mount', 'perf_event_open']", "['ptrace']"]


def test_rights_are_read() -> None:
    own = refusal.read_rights(os.getpid())
    assert own.uid == os.geteuid()
    assert own.target_uid == os.geteuid()
    assert own.target_tracer == 0
