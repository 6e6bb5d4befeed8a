"""Where engines are in the recorded processes, whether the agent is there, and what is done where it isn't."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Run

from llamactl.errors import LlamactlError
from llamactl.render.trace.rows.uncaught import released_line, uncaught_line
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.interface.binding import BindingKind, bindings
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.interface.uncaught import Why, uncaught
from llamactl.trace.record.agent.library import find_agent
from llamactl.trace.record.calls.targets import FUNCTIONS, GIL_FUNCTIONS, EngineMissingError
from llamactl.trace.record.calls.uprobes import UprobeSource
from llamactl.trace.record.engines_seen import EnginesSeen, SeenEngine

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
WAIT = [sys.executable, str(PROGRAMS / "wait_with.py"), "ctypes"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Path]:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")

    def build(name: str, *options: str) -> Path:
        command = [compiler, "-O1", "-shared", "-fPIC", *options, str(PROGRAMS / "stand_in_engine.c")]
        subprocess.run([*command, "-o", str(tmp_path / name)], check=True)
        return tmp_path / name

    return build


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def run(*command: str, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def test_an_engine_is_seen_with_why_the_agent_is_not_there(start: Start, engine: Callable[..., Path]) -> None:
    library = engine("plugin.bin", "-fvisibility=hidden")
    process = start(*WAIT, str(library), env={})
    (seen,) = EnginesSeen(str(find_agent())).look([process.pid])
    assert (seen.path, seen.holds, seen.exported, seen.agent) == (str(library), "llama.cpp", False, False)
    assert "without LD_AUDIT" in seen.without
    (seen,) = EnginesSeen(None).look([process.pid])
    assert seen.without == ""


def test_a_folder_that_a_sandbox_does_not_have(
    start: Start, engine: Callable[..., Path], tmp_path: Path
) -> None:
    process = start(*WAIT, str(engine("libllama.so")))
    (seen,) = EnginesSeen(str(tmp_path / "elsewhere/libllamactl-agent.so")).look([process.pid])
    assert "isn't there in its root directory and mount namespace" in seen.without


def test_a_program_without_a_dynamic_linker(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    source = PROGRAMS / "stand_in_engine.c"
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\nint main(void) { puts("ready"); fflush(stdout); return getchar(); }\n'
    )
    program = tmp_path / "program"
    done = subprocess.run([compiler, "-static", str(main), str(source), "-o", str(program)], check=False)
    if done.returncode:
        pytest.skip("no static C library")
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        (seen,) = EnginesSeen(str(find_agent())).look([process.pid])
        assert seen.without.startswith("it has no dynamic linker")
    finally:
        process.communicate()


def traced(llamactl: Run, folder: Path, *command: str) -> dict[str, Any]:
    """Trace a command to its end and return the report; nothing but the program's own is on its stderr."""
    report = folder / "report.json"
    done = llamactl("trace", "--report", str(report), "--", *command)
    assert done.returncode == 0, done.stderr
    assert "ERROR: ld.so" not in done.stderr
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def test_uprobes_take_the_agents_place(llamactl: Run, engine: Callable[..., Path], tmp_path: Path) -> None:
    """The environment is emptied, so the agent isn't loaded; nothing but the program's own is on its stderr."""
    source = tmp_path / "n_ctx.c"
    source.write_text("int llama_n_ctx(void * context) { return context == 0; }\n")
    library = engine("libllama.so", str(source))
    command = ["env", "-i", sys.executable, str(PROGRAMS / "call_until_probed.py"), str(library)]
    document = traced(llamactl, tmp_path, *command)
    notes = document["metadata"]["notes"]
    if not any("caught by uprobes instead" in note for note in notes):
        assert any("weren't caught: the agent isn't in it, since it was started" in note for note in notes)
        pytest.skip(f"no uprobes here: {notes}")
    counts = {row["name"]: row["count"] for row in document["functions"]}
    assert counts["llama_decode"] == 5
    assert document["uncaught"] == []


@pytest.mark.parametrize("how", ["exec", "execvp"])
def test_a_sandbox_without_our_folder_says_nothing(
    llamactl: Run, engine: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    """The agent's file can't be opened where the program executes the next one, as under bwrap."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root can mount")
    program = [sys.executable, "-c", "import sys; print('ran', *sys.argv[1:])", "once"]
    execute = f"import os, sys; os.{how}(sys.argv[1], sys.argv[1:])" if how == "execvp" else ""
    launcher = f"exec {shlex.join([sys.executable, '-c', execute])} " if execute else "exec "
    script = f"mount -t tmpfs none {shlex.quote(str(find_agent().parent))} && {launcher}"
    done = llamactl("trace", "-q", "--", "unshare", "-m", "sh", "-c", script + shlex.join(program))
    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran once\n", "")


def test_a_hidden_engine_is_no_reason_to_catch_nothing(start: Start, engine: Callable[..., Path]) -> None:
    """Of a program that runs already, too: its module's use of the GIL is what can be seen."""
    process = start(*WAIT, str(engine("plugin.bin", "-fvisibility=hidden")))
    try:
        source = UprobeSource(process.pid)
    except EngineMissingError as error:
        pytest.fail(str(error))
    except LlamactlError as error:
        pytest.skip(str(error))
    try:
        assert {one.name for one in source.targets} >= set(GIL_FUNCTIONS)
        assert not any(one.name.startswith(FUNCTIONS) for one in source.targets)
    finally:
        source.close()
    with pytest.raises(EngineMissingError):
        UprobeSource(start(*WAIT, "libm.so.6").pid)


def test_an_attached_programs_binding_is_told_by_the_process() -> None:
    functions = [Function("llama_decode", "/lib/_ctypes.cpython-312.so", "/a/libllama.so", "dlsym")]
    calls = np.zeros(2, RECORD)
    calls["kind"] = Kind.CALL
    exchange = Exchange.of([calls], functions, lambda _: b"")
    about = {"name": "thing", "version": "3", "interface": "ctypes"}
    (one,) = bindings(exchange, about)
    assert (one.name, one.version, one.kind) == ("thing", "3", BindingKind.CTYPES)
    (one,) = bindings(exchange, {**about, "interface": "Cython"})
    assert one.name is None


def test_a_library_that_the_linker_refused(
    llamactl: Run, engine: Callable[..., Path], tmp_path: Path
) -> None:
    needed = engine("libggml-gone.so", "-Wl,-soname,libggml-gone.so")
    library = engine("libllama.so", "-Wl,--no-as-needed", str(needed))
    needed.unlink()
    # Another library that is missing has nothing to do with it.
    code = (
        "import ctypes, sys\nfor name in ('libstranger.so', sys.argv[1]):\n"
        "    try:\n        ctypes.CDLL(name)\n    except OSError:\n        pass\n"
    )
    (one,) = traced(llamactl, tmp_path, sys.executable, "-c", code, str(library))["uncaught"]
    assert (one["why"], one["path"]) == (Why.REFUSED.value, str(library))
    assert one["detail"] == "libggml-gone.so wasn't found"


def test_a_library_of_a_short_program_was_not_refused(
    llamactl: Run, engine: Callable[..., Path], tmp_path: Path
) -> None:
    """It may end before anybody has looked at what it has mapped."""
    needed = engine("libggml.so", "-Wl,-soname,libggml.so")
    library = engine("libllama.so", "-Wl,--no-as-needed", str(needed), "-Wl,-rpath,$ORIGIN")
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    found = traced(llamactl, tmp_path, sys.executable, "-c", code, str(library))["uncaught"]
    assert [one for one in found if one["why"] == Why.REFUSED.value] == []


def gil_of(caller: str, *durations: int) -> Exchange:
    """An exchange in which this object let the GIL go, and made no call."""
    records = np.zeros(len(durations), RECORD)
    records["kind"] = Kind.GIL
    records["start"] = np.arange(len(durations)) * 10**9
    records["duration"] = durations
    functions = [Function("PyEval_SaveThread", caller, "/usr/lib/libpython3.so", "plt")]
    return Exchange.of([records], functions, lambda _: b"")


def seen_in(path: str, **changes: Any) -> dict[str, Any]:
    row = {
        "pid": 7, "process": "python", "path": path, "kind": "static", "holds": "llama.cpp", "exported": False,
        "agent": True, "without": "",
    }  # fmt: skip
    assert set(row) == set(SeenEngine.__dataclass_fields__)
    return {**row, **changes}


def test_what_a_module_without_exports_shows_instead() -> None:
    path = "/venv/site-packages/thing/inner.abi3.so"
    (one,) = uncaught(gil_of(path, 3_000_000, 5_000_000), {"engines": [seen_in(path)]}, [])
    assert (one.why, one.releases, one.released_ns, one.longest_ns) == (Why.HIDDEN, 2, 8_000_000, 5_000_000)
    assert "inner.abi3.so, which exports none of its functions: calls can't be caught" in uncaught_line(one)
    assert "let it go 2 times, 8 ms in all, 5 ms at most" in released_line(one)


def test_a_library_that_is_found_by_a_run_path_with_dots_is_the_same() -> None:
    """The dynamic linker says engine/../lib/libllama.so, /proc/PID/maps lib/libllama.so."""
    call = np.zeros(1, RECORD)
    call["kind"] = Kind.CALL
    functions = [Function("llama_decode", "/v/engine/_engine.so", "/v/engine/../lib/libllama.so", "plt")]
    exchange = Exchange.of([call], functions, lambda _: b"")
    row = seen_in("/v/lib/libllama.so", kind="libllama", exported=True)
    assert uncaught(exchange, {"engines": [row]}, []) == []


def test_ggmls_own_libraries_are_no_further_engine() -> None:
    rows = [
        seen_in("/a/libllama.so", kind="libllama", exported=True),
        seen_in("/a/libggml.so", kind="libggml"),
    ]
    found = uncaught(gil_of("/x"), {"engines": rows}, [])
    assert [(one.path, one.why) for one in found] == [("/a/libllama.so", Why.NOT_CALLED)]
    assert uncaught_line(found[0]) == "libllama.so is loaded, but no call of its functions was seen"


def test_why_the_agent_is_missing_is_said() -> None:
    row = seen_in("/a/libllama.so", kind="libllama", exported=True, agent=False, without="it is static")
    (one,) = uncaught(gil_of("/x"), {"engines": [row]}, [])
    assert (
        uncaught_line(one) == "llama.cpp is in process 7 (python), where calls weren't caught: it is static"
    )
