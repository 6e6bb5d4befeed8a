"""Programs that the agent can't see, and libraries that come late: calls caught by breakpoints, counted exactly."""

from __future__ import annotations

import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from boundary_support import Attached, Memory, assert_untouched, attach, compile_program, start

from llamactl.trace.record.calls.attached import catch_calls
from llamactl.trace.record.syscalls.base import Options
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

pytest.importorskip("numpy")
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="breakpoints are made for x86-64")
TRACE = (sys.executable, "-m", "llamactl", "trace")
THREADS, CALLS = 3, 400
SUM = THREADS * CALLS * (CALLS + 1) // 2


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs without glibc's dynamic linker."""
    place = tmp_path_factory.mktemp("outside")
    sources = ["boundary_loop.c", "llama_target.c"]
    compile_program("cc", place / "static", sources, "-static", "-pthread")
    compile_program("cc", place / "static-pie", sources, "-static-pie", "-fPIE", "-pthread")
    if shutil.which("musl-gcc"):
        link = (f"-L{place}", f"-Wl,-rpath,{place}", "-lllama")
        compile_program("musl-gcc", place / "libllama.so", ["llama_target.c"], "-shared", "-fPIC")
        compile_program("musl-gcc", place / "musl", ["boundary_loop.c"], *link)
        compile_program("musl-gcc", place / "musl-static", sources, "-static")
    return place


def traced(
    place: Path, engine: str, *command: str | Path, say: str = "go\n"
) -> tuple[str, dict[str, object]]:
    """Return what the program printed, and the report as JSON."""
    report = place / "report.json"
    options = ("--engine", engine, "--breakpoints", "--report", str(report))
    done = subprocess.run(
        [*TRACE, *options, "--", *map(str, command)],
        input=say, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if engine == "perf" and done.returncode == 125:
        pytest.skip(f"the engine perf isn't allowed: {done.stderr}")
    assert done.returncode == 7, done.stderr
    return done.stdout, json.loads(report.read_text(encoding="utf-8"))


@pytest.mark.parametrize("engine", ["ptrace", "perf"])
@pytest.mark.parametrize("kind", ["static", "static-pie", "musl", "musl-static"])
def test_started_programs_that_the_agent_cannot_see(
    outside: Path, tmp_path: Path, kind: str, engine: str
) -> None:
    program = outside / kind
    if not program.exists():
        pytest.skip("musl-gcc isn't installed")
    out, report = traced(tmp_path, engine, program, str(THREADS), str(CALLS))
    assert out == f"ready\ndone {SUM} 43\n"
    functions = {row["name"]: row for row in report["functions"]}  # type: ignore[attr-defined]
    row = functions["llama_n_ctx"]
    assert (row["count"], row["unfinished"]) == (THREADS * CALLS, 0)
    assert report["metadata"]["boundary"]["way"] == "breakpoints"  # type: ignore[index]
    assert report["metadata"]["boundary"]["refused"] == 0  # type: ignore[index]


@pytest.mark.parametrize("engine", ["ptrace", "perf"])
def test_programs_with_glibc_are_left_to_the_agent(built: Path, tmp_path: Path, engine: str) -> None:
    out, report = traced(tmp_path, engine, built / "boundary_loop", str(THREADS), str(CALLS))
    assert out == f"ready\ndone {SUM} 43\n"
    functions = {row["name"]: row["count"] for row in report["functions"]}  # type: ignore[attr-defined]
    assert functions == {"llama_n_ctx": THREADS * CALLS, "llama_calls_itself": 1}
    assert "boundary" not in report["metadata"]  # type: ignore[operator]


def test_a_started_program_ends_with_llamactl(outside: Path) -> None:
    """SIGKILL takes nothing out; the kernel ends the program with its tracer (PTRACE_O_EXITKILL)."""
    command = [*TRACE, "-q", "--engine", "ptrace", "--breakpoints", "--", str(outside / "static"), "1", "1"]
    llamactl = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert llamactl.stdout is not None
    assert llamactl.stdout.readline() == "ready\n"
    (child,) = Path(f"/proc/{llamactl.pid}/task/{llamactl.pid}/children").read_text().split() or _children(
        llamactl.pid
    )
    handle = os.pidfd_open(int(child))
    llamactl.send_signal(signal.SIGKILL)
    assert llamactl.wait() == -signal.SIGKILL
    assert select.select([handle], [], [], 30)[0]
    os.close(handle)


def _children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def copies(place: Path, built: Path, count: int) -> list[Path]:
    """Copies of the library under names of their own: the dynamic linker takes each for another one."""
    found = []
    for number in range(count):
        target = place / str(number) / "libllama.so"
        target.parent.mkdir()
        shutil.copy(built / "libllama.so", target)
        found.append(target)
    return found


def say(traced: Attached, line: str) -> str:
    traced.say(line)
    return traced.line()


@pytest.fixture
def late(built: Path, tmp_path: Path) -> Attached:
    """A program without llama.cpp, attached to by breakpoints."""
    program = compile_program("cc", tmp_path / "late", ["boundary_late.c"], "-ldl")
    return attach("breakpoints", start(program))


def test_libraries_that_are_loaded_later(late: Attached, built: Path, tmp_path: Path) -> None:
    first, second = copies(tmp_path, built, 2)
    assert say(late, f"{first} 30") == f"done {30 * 31 // 2}\n"
    assert say(late, f"{second} 20") == f"done {20 * 21 // 2}\n"
    assert say(late, f"{first} 5") == "done 15\n"
    late.detach()
    assert_untouched(late.process.pid)
    assert say(late, f"{first} 3") == "done 6\n"
    assert late.end()[1] == 7
    calls = late.writer.calls("llama_n_ctx")
    functions = late.writer.functions
    counts = Counter(functions[nr].library for nr in calls["nr"].tolist())
    assert counts == {str(first): 35, str(second): 20}


def test_a_library_that_comes_and_goes(late: Attached, built: Path, tmp_path: Path) -> None:
    first, second = copies(tmp_path, built, 2)
    for library, calls in ((first, 10), (first, 11), (second, 12), (first, 13)):
        assert say(late, f"{library} {calls}") == f"done {calls * (calls + 1) // 2}\n"
        assert say(late, "close") == "done 0\n"
    assert say(late, f"{second} 14") == f"done {14 * 15 // 2}\n"
    late.detach()
    assert_untouched(late.process.pid)
    assert late.end()[1] == 7
    assert len(late.writer.calls("llama_n_ctx")) == 10 + 11 + 12 + 13 + 14


def test_uprobes_find_a_library_that_comes_late(built: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("uprobes need root")
    process = start(compile_program("cc", tmp_path / "late", ["boundary_late.c"], "-ldl"))
    calls = catch_calls(
        process.pid, PtraceEngine(Options(selection=frozenset())), breakpoints=False, watch=False
    )
    assert "no library of llama.cpp" in calls.notes[0]
    assert process.stdin is not None
    assert process.stdout is not None
    writer = Memory()
    for count in (5, 40):
        process.stdin.write(f"{built / 'libllama.so'} {count}\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"done {count * (count + 1) // 2}\n"
        while "after attaching" not in calls.notes[0]:
            calls.drain(writer)  # type: ignore[arg-type]
    calls.finish(writer)  # type: ignore[arg-type]
    calls.close()
    assert not process.communicate()[0]
    assert process.returncode == 7
    assert len(writer.calls("llama_n_ctx")) == 40, "those before it was found aren't seen"
