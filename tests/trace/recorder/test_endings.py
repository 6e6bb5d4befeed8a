"""How programs and their workers end is in the report's head: signal, sender, code, call; and each status is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from recording import PROGRAMS, engines, read, recorded

from llamactl.render.trace.endings import ending_text
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.end.endings import EndCause, Ending
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ends")
    source = str(PROGRAMS / "ends.c")
    flags = ["cc", "-O1", "-fPIC", "-shared", source]
    subprocess.run([*flags, "-DENGINE", "-o", str(folder / "libggml-end.so")], check=True)
    subprocess.run(
        [*flags, "-o", str(folder / "libllama.so"), f"-L{folder}", "-lggml-end", f"-Wl,-rpath,{folder}"],
        check=True,
    )
    return folder / "libllama.so"


def report_of(tmp_path: Path, library: Path, engine: str, *words: str) -> TraceReport:
    argv = [sys.executable, "-S", str(PROGRAMS / "ends.py"), str(library), *words]
    return analyse(recorded(tmp_path / "c", argv, engine, calls=True).capture)


@engines()
@pytest.mark.parametrize(("how", "signal"), [("0", "SIGILL"), ("1", "SIGSEGV")])
def test_its_own_fault_names_library_function_and_call(
    tmp_path: Path, library: Path, engine: str, how: str, signal: str
) -> None:
    report = report_of(tmp_path, library, engine, how)
    (end,) = report.endings
    assert (end.main, end.cause, end.signal) == (True, EndCause.FAULT, signal)
    assert (end.library, end.function) == (str(library.with_name("libggml-end.so")), "ggml_end")
    assert end.call == "llama_decode"
    assert end.place is not None and end.place[0].endswith("ends.py")
    text = " ".join(report_text(report).split())
    assert f"ended: {signal} by its own fault in ggml_end+" in text
    assert "of libggml-end.so, in llama_decode, called at" in text
    assert ("This CPU doesn't have that instruction: llama.cpp was built for another one" in text) == (
        how == "0"
    )


@engines()
def test_abort_and_a_signal_to_itself(tmp_path: Path, library: Path, engine: str) -> None:
    (end,) = report_of(tmp_path, library, engine, "2").endings
    assert "ended: SIGABRT: it called abort, in llama_decode" in ending_text(end)
    (end,) = report_of(tmp_path, library, engine, "3").endings
    assert "ended: SIGTERM sent by itself, in llama_decode" in ending_text(end)


@engines()
def test_a_worker_that_was_killed_names_its_killer(tmp_path: Path, library: Path, engine: str) -> None:
    report = report_of(tmp_path, library, engine, "4", "worker")
    (end,) = report.endings
    program = report.metadata["pid"]
    assert (end.main, end.cause, end.signal, end.sender_pid) == (False, EndCause.SENT, "SIGKILL", program)
    assert end.call == "llama_decode"
    text = ending_text(end)
    assert f"ended: SIGKILL sent by process {program} (" in text
    assert "the kernel killed nothing for memory meanwhile" in text or end.oom_kills is None
    assert [row.end for row in report.processes] == ["exit 0", "SIGKILL"]


@engines()
def test_an_exit_status_is_told(tmp_path: Path, library: Path, engine: str) -> None:
    (end,) = report_of(tmp_path, library, engine, "exit").endings
    assert ending_text(end) == "ended: exit status 3"
    assert report_of(tmp_path, library, engine, "exit", "worker").endings == []


@engines()
def test_the_status_is_known_where_no_call_has_strings(tmp_path: Path, engine: str) -> None:
    code = "import os, signal\nif not os.fork(): os._exit(7)\nos.wait(); os.kill(os.getpid(), signal.SIGSEGV)"
    seen = recorded(tmp_path / "c", [sys.executable, "-S", "-c", code], engine, selection=frozenset({62}))
    assert seen.result.exit_code == 128 + 11
    report = analyse(seen.capture)
    assert [row.end for row in report.processes] == ["SIGSEGV", "exit 7"]
    assert "ended: SIGSEGV sent by itself" in report_text(report)


@engines()
@pytest.mark.parametrize(
    ("end", "said"), [("exit", "ended: exit status 3"), ("kill", "ended: SIGKILL from a process")]
)
def test_a_program_that_is_attached_to_tells_how_it_ended(
    tmp_path: Path, engine: str, end: str, said: str
) -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(3)"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"ready\n"

        def finish(_: Progress) -> None:
            assert process.stdin
            process.kill() if end == "kill" else process.stdin.close()

        result = record(process.pid, SessionOptions(engine=engine), CaptureWriter(tmp_path / "c"), finish)
    (ending,) = analyse(read(tmp_path / "c", result).capture).endings
    if ending.cause is EndCause.UNKNOWN:
        pytest.skip("this kernel doesn't tell how a process ended that isn't our child (before Linux 6.15)")
    assert ending_text(ending).startswith(said)


def test_a_sentence_says_what_isn_t_known() -> None:
    def end(
        cause: EndCause, signal: str | None = "SIGKILL", oom: int | None = 0, group: str | None = None
    ) -> str:
        return ending_text(Ending(
            "python", 1, 7, True, 1.0, cause, None, signal, None, None, None, None, None, None, None, None, oom, group
        ))  # fmt: skip

    outside = (
        "ended: SIGKILL from a process that wasn't recorded; the kernel killed nothing for memory meanwhile"
    )
    assert end(EndCause.NOT_RECORDED) == outside
    assert end(EndCause.UNKNOWN, None, None) == "ended: how isn't known"
    assert "out of memory (2 kills counted for control group /sys/x)" in end(
        EndCause.OUT_OF_MEMORY, oom=2, group="/sys/x"
    )
    assert "out of memory (1 kill counted for this machine)" in end(EndCause.OUT_OF_MEMORY, oom=1, group="")
    assert os.linesep not in end(EndCause.KERNEL, "SIGPIPE")
