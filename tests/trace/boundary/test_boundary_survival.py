"""However tracing ends, the program goes on as it was; and programs that the agent can't be loaded into."""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from boundary_support import PROGRAMS, assert_untouched, attach, compile_program, start, text_of

import llamactl
from llamactl.trace.capture.record import Flag

SOURCES = Path(llamactl.__file__).resolve().parents[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_breakpoints_are_taken_out_when_we_are_ended(built: Path, number: int) -> None:
    process = start(built / "boundary_loop", "4", "20000")
    before = text_of(process.pid)
    tracer = subprocess.Popen(
        [sys.executable, PROGRAMS / "boundary_attach.py", str(process.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PYTHONPATH": str(SOURCES)}, text=True,
    )  # fmt: skip
    assert tracer.stdout is not None and process.stdin is not None and process.stdout is not None
    assert tracer.stdout.readline() == "armed\n"
    assert text_of(process.pid) != before
    process.stdin.write("go\n")
    process.stdin.flush()
    tracer.send_signal(number)
    tracer.wait(30)
    assert process.stdout.readline() == f"done {4 * 20000 * 20001 // 2} 43\n"
    assert text_of(process.pid) == before
    assert_untouched(process.pid)
    process.stdin.close()
    assert process.wait(30) == 7


def test_a_killed_tracer_leaves_no_uprobe(built: Path) -> None:
    process = start(built / "boundary_loop", "2", "2000")
    traced = attach("uprobes", process)
    traced.detach()
    code = (
        "import sys; from llamactl.trace.record.calls.uprobes import UprobeSource;"
        "source = UprobeSource(int(sys.argv[1])); source.begin(); print('armed', flush=True); sys.stdin.read()"
    )
    tracer = subprocess.Popen(
        [sys.executable, "-c", code, str(process.pid)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SOURCES)}, text=True,
    )  # fmt: skip
    assert tracer.stdout is not None
    assert tracer.stdout.readline() == "armed\n"
    tracer.kill()
    tracer.wait(30)
    traced.say("go")
    assert traced.line() == f"done {2 * 2000 * 2001 // 2} 43\n"
    assert_untouched(process.pid)
    assert traced.end()[1] == 7


def test_uprobes_wait_for_no_return_where_exceptions_pass(built: Path) -> None:
    traced = attach("uprobes", start(built / "agent_throws", wait=built / "wait.so"))
    traced.say()
    assert traced.end() == ("right 400\n", 0)
    traced.detach()
    assert "agent_throws calls llama.cpp from C++" in traced.writer.facts["boundary"]["no_ends"]
    assert traced.writer.counts(ended=False) == {"llama_may_throw": 200, "llama_catches_itself": 100}
    assert not traced.writer.counts(ended=True)


@pytest.mark.parametrize(
    ("compiler", "options"),
    [("cc", ("-static",)), ("cc", ("-static-pie",)), ("musl-gcc", ("-static",)), ("musl-gcc", ())],
    ids=["static", "static-pie", "musl-static", "musl"],
)
def test_programs_without_an_agent(tmp_path: Path, way: str, compiler: str, options: tuple[str, ...]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} isn't installed")
    program = tmp_path / "program"
    if options:
        compile_program(compiler, program, ["boundary_loop.c", "llama_target.c"], "-pthread", *options)
    else:
        compile_program(compiler, tmp_path / "libllama.so", ["llama_target.c"], "-shared", "-fPIC")
        link = (f"-L{tmp_path}", f"-Wl,-rpath,{tmp_path}", "-lllama")
        compile_program(compiler, program, ["boundary_loop.c"], "-pthread", *link)
    traced = attach(way, start(program, "4", "500"))
    traced.say("go")
    assert traced.line() == f"done {4 * 500 * 501 // 2} 43\n"
    traced.detach()
    counts = traced.writer.counts(ended=True)
    # A static program asks no linker for names: what the agent's table knows is caught.
    assert counts == ({"llama_n_ctx": 2000} if options else {"llama_n_ctx": 2000, "llama_calls_itself": 1})
    assert bool(traced.writer.calls("llama_n_ctx")["flags"][0] & Flag.INNER) == bool(options)
    assert_untouched(traced.process.pid)
    assert select.select([traced.output], [], [], 0)[0] == []
    traced.say("go")
    assert traced.end()[1] == 7
