"""Threads that stand: in which call, on what, who is at the other end; and idle ones, of which nothing is said."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamactl.process.files.file_locks import parse_locks
from llamactl.process.proc import ProcessDir
from llamactl.process.threads import last_ran
from llamactl.process.threads.waiting import parse_syscall
from llamactl.snapshot.process import standing, unanswered
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import inspect_process
from llamactl.snapshot.process.standing_facts import End, Standing
from llamactl.snapshot.process.standing_text import standing_text, unanswered_text

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
DEADLINE_S = 20.0
Stand = Callable[..., "tuple[int, int]"]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Start what stands still; return the number of the program, and of the process that stands."""
    running: list[subprocess.Popen[str]] = []
    standing_too: list[int] = []

    def run(*command: str) -> tuple[int, int]:
        program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(program)
        assert program.stdout is not None
        standing_too.append(int(program.stdout.readline().split()[1]))
        return program.pid, standing_too[-1]

    yield run
    for number in standing_too:
        os.kill(number, signal.SIGKILL)
    for program in running:
        program.kill()
        program.communicate()


def of_python(stand: Stand, way: str, place: Path) -> tuple[int, int]:
    return stand(sys.executable, str(PROGRAMS / "stand_still.py"), way, str(place))


def found(pid: int) -> Standing:
    """Look until something stands."""
    begun = time.monotonic()
    while time.monotonic() - begun < DEADLINE_S:
        table = inspect_process(pid, ("threads",)).threads
        assert table is not None
        if table.standing:
            (one,) = table.standing
            return one
    raise AssertionError("nothing stands")


def owner(one: Standing) -> End:
    (end,) = one.ends
    return end


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "LEAST_S", 0.2)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("way", "why", "calls", "on", "fd"),
    [
        ("full_pipe", "full", {"write"}, "pipe:[", 3),
        ("full_socket", "full", {"sendto"}, "unix stream", 4),
        ("full_terminal", "full", {"write"}, "/dev/pts/", 3),
        ("lock_of_process", "lock", {"fcntl"}, "{place}", 3),
        ("no_answer_tcp", "no-answer", {"poll", "ppoll"}, "→ 127.0.0.1:", 4),
        ("no_answer_unix", "no-answer", {"recvfrom"}, "{place}", 5),
    ],
)
def test_who_is_at_the_other_end_of_a_call(
    stand: Stand, tmp_path: Path, way: str, why: str, calls: set[str], on: str, fd: int
) -> None:
    place = tmp_path / "place"
    program, hung = of_python(stand, way, place)
    one = found(hung)
    assert (one.why, one.threads) == (why, (hung,))
    assert one.call in calls
    assert on.format(place=place) in one.object
    assert (owner(one).pid, owner(one).fd) == (program, fd)
    assert one.seconds is not None and one.seconds < DEADLINE_S


@pytest.mark.usefixtures("soon")
def test_a_lock_of_an_open_file_description_is_found_though_the_kernel_names_no_process(
    stand: Stand, tmp_path: Path
) -> None:
    program, hung = of_python(stand, "lock_of_description", tmp_path / "lock")
    assert {(end.pid, end.fd) for end in found(hung).ends} == {(program, 3), (hung, 3)}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("way", "why", "word"),
    [
        ("own_pipe", "no-writer", "only the process itself has the writing end open (descriptor 4)"),
        ("lock_of_file", "lock", "held by the process itself"),
        ("no_accept_unix", "connecting", "not accepted by the process itself"),
        ("opened_fifo", "fifo", "a FIFO whose other end nobody opens"),
        ("for_each_other", "deadlock", "no other thread is left to wake it"),
        ("lock_held_twice", "mutex", "the thread holds it itself"),
        ("lock_of_thread", "mutex", "held by its own thread"),
        ("lock_of_parent_thread", "mutex-orphan", "isn't in this process"),
        ("gil", "gil", "the GIL is held all the time by its own thread"),
        ("stopped", "stopped", "has been stopped for"),
    ],
)
def test_what_a_process_does_to_itself(stand: Stand, tmp_path: Path, way: str, why: str, word: str) -> None:
    if way == "gil" and sys.version_info < (3, 11):
        pytest.skip("who holds the GIL is told from Python 3.11 on")
    _, hung = of_python(stand, way, tmp_path / "place")
    one = found(hung)
    assert one.why == why
    message, _ = standing_text(hung, one)
    assert word in message


@pytest.mark.usefixtures("soon")
def test_after_a_fork_the_threads_of_the_pool_are_missing(stand: Stand, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    binary = tmp_path / "forked"
    command = [str(compiler), "-fopenmp", str(PROGRAMS / "forked_pool.c"), "-o", str(binary)]
    if compiler is None or subprocess.run(command, check=False).returncode:
        pytest.skip("no compiler with OpenMP")
    _, hung = stand(str(binary))
    one = found(hung)
    assert one.why == "pool"
    assert "the threads of the pool are not in this process" in standing_text(hung, one)[0]


@pytest.mark.parametrize(
    "way",
    [
        "event_loop", "idle_workers", "accepting", "kept_alive", "shell", "child_of_a_pipe", "half_of_a_pair",
        "waits_for_signal", "sleeping",
    ],
)  # fmt: skip
def test_nothing_is_said_of_who_waits_as_it_should(
    stand: Stand, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, idle = of_python(stand, way, tmp_path / "place")
    while Path(f"/proc/{idle}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        pass
    monkeypatch.setattr(standing, "LEAST_S", 0.0)
    table = inspect_process(idle, ("threads",)).threads
    assert table is not None
    assert table.standing == ()


def test_for_how_long_a_thread_has_not_run_is_the_kernels_answer(stand: Stand, tmp_path: Path) -> None:
    begun = time.monotonic()
    _, idle = of_python(stand, "sleeping", tmp_path / "place")
    while Path(f"/proc/{idle}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        pass
    slept = time.monotonic()
    cpus = os.sched_getaffinity(0)
    time.sleep(0.5)
    with ProcessDir.open(idle) as process:
        cpu = int(Path(f"/proc/{idle}/stat").read_text().rpartition(")")[2].split()[36])
        seconds = last_ran.seconds_asleep(process, idle, cpu)
    if seconds is None:
        pytest.skip("the kernel doesn't tell (CONFIG_SCHED_DEBUG)")
    assert time.monotonic() - slept - 0.1 <= seconds <= time.monotonic() - begun + 0.1
    assert os.sched_getaffinity(0) == cpus


def test_where_the_kernel_does_not_tell_since_when_it_is_watched(stand: Stand, tmp_path: Path) -> None:
    _, hung = of_python(stand, "own_pipe", tmp_path / "place")
    while Path(f"/proc/{hung}/syscall").read_text().split()[1:2] != ["0x3"]:
        pass
    threads = inspect_process(hung, ("threads",)).threads
    assert threads is not None
    with ProcessDir.open(hung) as process:
        (one,) = standing.find_standing(process, threads.threads, None, lambda *_: None)
    assert (one.seconds, one.at_least) == (standing.LEAST_S, True)


@pytest.mark.usefixtures("soon")
def test_a_thread_that_stands_is_a_finding(stand: Stand, tmp_path: Path) -> None:
    program, hung = of_python(stand, "full_pipe", tmp_path)
    found(hung)
    (finding,) = [one for one in find_findings(inspect_process(hung)) if one.code == "standing"]
    assert f"thread {hung} (main) has stood for " in finding.text
    assert f"it is to be read by process {program} (" in finding.text


def test_locks_are_read_as_the_kernel_writes_them() -> None:
    holder, waiter, description = parse_locks(
        "1: FLOCK  ADVISORY  WRITE 123 fe:01:4711 0 EOF\n"
        "1: -> FLOCK  ADVISORY  WRITE 124 fe:01:4711 0 EOF\n"
        "2: OFDLCK ADVISORY  READ -1 00:1b:12 0 99\n"
        "3: LEASE\n"
    )
    assert (holder.pid, holder.waits, holder.file, holder.kind) == (123, False, "fe:01:4711", "FLOCK")
    assert (waiter.pid, waiter.waits, waiter.number) == (124, True, holder.number)
    assert (description.pid, description.access) == (-1, "READ")


@pytest.mark.parametrize(("way", "fd"), [("no_answer_tcp", 4), ("half_an_answer", 4)])
def test_a_request_that_a_server_has_not_answered_names_who_asked(
    stand: Stand, tmp_path: Path, way: str, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unanswered, "LEAST_S", 0.3)
    server, client = of_python(stand, way, tmp_path)
    begun = time.monotonic()
    found: list[unanswered.UnansweredRequest] = []
    with ProcessDir.open(server) as process:
        if not unanswered._flows(process):
            pytest.skip("the kernel doesn't tell (tcp_diag)")
        while not found and time.monotonic() - begun < DEADLINE_S:
            found = unanswered.unanswered_requests(process)
    (one,) = found
    assert [(end.pid, end.fd) for end in one.ends] == [(client, fd)]
    assert 0.3 <= one.seconds < DEADLINE_S
    message, _ = unanswered_text(server, found)
    assert f"(process {client} (" in message and f"on {one.address}" in message


def test_a_connection_whose_client_is_content_waits_for_nothing(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unanswered, "LEAST_S", 0.0)
    server, client = of_python(stand, "whole_answer", tmp_path)
    while inspect_waits(client) != "clock_nanosleep":
        pass
    with ProcessDir.open(server) as process:
        assert unanswered.unanswered_requests(process) == []


def inspect_waits(pid: int) -> str:
    """Return the call in which a process's first thread waits."""
    found = parse_syscall(Path(f"/proc/{pid}/syscall").read_text())
    return found.call if found else ""
