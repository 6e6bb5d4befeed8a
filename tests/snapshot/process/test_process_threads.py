"""Threads against /proc/PID/task, their roles by who started them, and spinning pools."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamactl.process.threads.pools import find_pools, settings
from llamactl.process.threads.thread_roles import Thread, find_spinning
from llamactl.process.threads.threads import Reading
from llamactl.process.threads.waiting import parse_syscall
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import inspect_process
from llamactl.snapshot.process.thread_table import ThreadTable

Start = Callable[..., "subprocess.Popen[str]"]
PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
needs_x86_glibc = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="who started a thread is read from glibc's descriptors on x86-64",
)


def table_of(pid: int) -> ThreadTable:
    table = inspect_process(pid, ("threads",)).threads
    assert table is not None
    return table


@pytest.fixture
def python(start: Start, tmp_path: Path) -> subprocess.Popen[str]:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    return start("open_files.py", str(tmp_path))


def test_threads_are_those_of_proc(python: subprocess.Popen[str]) -> None:
    table = table_of(python.pid)
    assert [t.reading.thread for t in table.threads] == sorted(
        int(task.name) for task in Path(f"/proc/{python.pid}/task").iterdir()
    )
    for thread in table.threads:
        status = Path(f"/proc/{python.pid}/task/{thread.reading.thread}/status").read_text()
        assert f"Cpus_allowed_list:\t{thread.reading.affinity}\n" in status
        assert thread.reading.voluntary_switches is not None
    main = table.threads[0].reading
    assert main.state == "S" and main.never_ran and not main.never_slept
    status = Path(f"/proc/{python.pid}/status").read_text()
    assert f"\nvoluntary_ctxt_switches:\t{main.voluntary_switches}\n" in status
    assert table.budget is not None and table.budget.threads >= 1


def test_what_a_thread_waits_on(python: subprocess.Popen[str]) -> None:
    main = table_of(python.pid).threads[0]
    assert main.role == "main"
    assert main.waits_on == f"read of {Path(f'/proc/{python.pid}/fd/0').readlink()}"


@needs_x86_glibc
def test_a_thread_of_python_is_known_by_what_started_it(python: subprocess.Popen[str]) -> None:
    worker = table_of(python.pid).threads[1]
    assert worker.role == "Python"
    assert worker.evidence.startswith("started by ")


def compiled(source: str, tmp_path: Path, *options: str) -> Path:
    compiler = shutil.which("c++" if source.endswith(".cpp") else "cc")
    if compiler is None:
        pytest.skip("no compiler")
    binary = tmp_path / source.split(".", maxsplit=1)[0]
    done = subprocess.run([compiler, str(PROGRAMS / source), "-o", str(binary), *options], check=False)
    if done.returncode:
        pytest.skip(f"{compiler} can't compile with {' '.join(options)}")
    return binary


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def started(binary: Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        # It says ready before it reads; the kernel tells when it has got there.
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[1:2] != ["0x0"]:
            pass
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate()


@needs_x86_glibc
@pytest.mark.parametrize(("policy", "spins"), [("active", True), ("passive", False)])
def test_a_pool_that_spins_while_idle_is_flagged(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path, policy: str, spins: bool
) -> None:
    target = run(compiled("gomp_spin.c", tmp_path, "-fopenmp"), OMP_WAIT_POLICY=policy)
    table = table_of(target.pid)
    worker = table.threads[1]
    assert worker.role == "libgomp"
    assert worker.spinning is spins
    assert not table.threads[0].spinning
    assert table.compute_threads == 2
    assert [pool.kind for pool in table.pools] == ["libgomp"]
    assert table.pools[0].evidence == f"OMP_WAIT_POLICY={policy}"
    assert table.settings is not None and table.settings["OMP_WAIT_POLICY"] == policy


@needs_x86_glibc
def test_a_cpp_thread_belongs_to_the_file_that_made_it(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    target = run(compiled("std_thread.cpp", tmp_path, "-pthread"))
    worker: Thread = table_of(target.pid).threads[1]
    assert (worker.role, worker.evidence) == ("C++ thread", "started by std_thread")
    assert worker.waits_on.startswith("read of pipe:[")


def reading(thread: int, never_slept: bool | None, never_ran: bool | None) -> Reading:
    return Reading(thread, "x", "S", 0, 0, 0, None, never_slept, never_ran, 0, 0, "0", 0, 0, 0, "", None)


def test_spinning_needs_an_idle_leader_and_rates() -> None:
    asleep, spinning, unknown = reading(1, False, True), reading(2, True, False), reading(1, None, None)
    works = reading(1, True, False)
    assert find_spinning([asleep, spinning], ["main", "libgomp"]) == [False, True]
    assert find_spinning([works, spinning], ["main", "libgomp"]) == [False, False]
    assert find_spinning([unknown, spinning], ["main", "libgomp"]) == [False, False]
    assert find_spinning([asleep, unknown], ["main", "libgomp"]) == [False, False]
    assert find_spinning([asleep, spinning], ["main", "unknown"]) == [False, False]


def test_pools_and_their_settings() -> None:
    libraries = ["/usr/lib/libgomp.so.1", "/x/libiomp5.so"]
    policies = {pool.kind: pool.evidence for pool in find_pools(libraries, {"KMP_BLOCKTIME": "0"})}
    assert policies == {"libgomp": "libgomp's default", "libomp": "KMP_BLOCKTIME=0"}
    assert {pool.wait_policy for pool in find_pools(libraries, None)} == {"unknown"}
    assert find_pools(libraries, {"GOMP_SPINCOUNT": "5"})[0].evidence == "GOMP_SPINCOUNT=5"
    chosen = settings({"OMP_NUM_THREADS": "4", "HOME": "/", "LLAMA_API_KEY": "secret"})
    assert chosen == {"OMP_NUM_THREADS": "4"}


def test_the_file_syscall() -> None:
    assert parse_syscall("running\n") is None
    assert parse_syscall("-1 0x7ffe 0x7f00\n") is None
    wait = parse_syscall("99999 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00\n")
    assert wait is not None
    assert (wait.call, wait.descriptor, wait.program_counter) == ("call 99999", None, 0x7F00)


@needs_x86_glibc
def test_the_budget_is_that_of_the_threads_that_compute(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The process's first thread may use every CPU; those that compute have one."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    target = run(compiled("pinned_pool.c", tmp_path, "-fopenmp", "-pthread"))
    snapshot = inspect_process(target.pid, ("threads",))
    table = snapshot.threads
    assert table is not None and table.budget is not None
    assert len(os.sched_getaffinity(target.pid)) > 1
    assert (table.compute_threads, table.budget.threads, table.budget.limited_by) == (2, 1, "affinity")
    codes = [finding.code for finding in find_findings(snapshot)]
    assert "threads-over-budget" in codes
    assert "idle-spinning" not in codes, "another way of waiting doesn't help two threads on one CPU"
