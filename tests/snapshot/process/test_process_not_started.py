"""Looking at a process never starts the application it looks at; an interpreter is asked only if it is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamactl.process.proc import ProcessDir
from llamactl.process.python.interpreter import why_not_asked
from llamactl.snapshot.process.snapshot import ProcessSnapshot, inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
PYTHON = 'const char * Py_GetVersion(void) { return "3.12.1"; }\n'


def compiled(path: Path, source: Path | str, *options: str) -> Path:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, str):
        text, source = source, path.with_suffix(".c")
        source.write_text(text)
    subprocess.run([compiler, "-O1", *options, str(source), "-o", str(path)], check=True)
    return path


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], Path]]]:
    """Start the stand-in under a name, with a Python, ctypes, a binding's file and an engine mapped."""
    shared = ("-shared", "-fPIC")
    files = [
        compiled(tmp_path / "lib/libpython3.12.so.1.0", PYTHON, *shared),
        compiled(tmp_path / "lib/_ctypes.cpython-312-x86_64-linux-gnu.so", "int x;\n", *shared),
        compiled(tmp_path / "lib/libllama.so", PROGRAMS / "stand_in_engine.c", *shared),
    ]
    running = []

    def run(name: str) -> tuple[subprocess.Popen[str], Path]:
        program = compiled(tmp_path / "app" / name, PROGRAMS / "frozen_app.c")
        log = tmp_path / f"{name}.log"
        process = subprocess.Popen(
            [str(program), *map(str, files)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "LOG": str(log)},
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process, log

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["application", "python3"])
@pytest.mark.parametrize("modules", [None, ("llama_cpp.llama_cpp",)])
def test_a_frozen_application_is_not_started(
    frozen: Callable[[str], tuple[subprocess.Popen[str], Path]], name: str, modules: tuple[str, ...] | None
) -> None:
    process, log = frozen(name)
    found = inspect_process(process.pid, modules=modules)
    assert log.read_text() == "started\n"
    assert found.binding is not None and found.binding.interface == "ctypes"
    assert found.python is not None and found.python.interpreter is None
    assert found.abi is not None
    assert found.abi.reason == f"not asked: {found.identity.executable} is no Python interpreter"


def reason(process: subprocess.Popen[str], interpreter: str) -> str:
    with ProcessDir.open(process.pid) as directory:
        return why_not_asked(directory, interpreter, Path(f"/proc/{process.pid}/exe"))


def test_an_interpreter_that_runs_may_be_asked(start: Start) -> None:
    assert reason(start("wait_with.py", "json"), sys.executable) == ""


def test_another_program_under_the_path_is_not_asked(start: Start, tmp_path: Path) -> None:
    other = tmp_path / "python"
    shutil.copy(os.path.realpath(sys.executable), other)
    assert "isn't the program that the process runs" in reason(start("wait_with.py", "json"), str(other))


def test_a_copy_without_its_library_is_taken_for_an_application(tmp_path: Path) -> None:
    program = compiled(
        tmp_path / "bin/python3", "int main(void) { char c; return read(0, &c, 1) < 0; }\n", "-w"
    )
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE)
    try:
        assert "no standard library" in reason(process, str(program))  # type: ignore[arg-type]
    finally:
        process.communicate()


@pytest.mark.parametrize("where", ["mount namespace", "root directory"])
def test_a_path_of_another_place_is_not_run_here(start: Start, tmp_path: Path, where: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can have another root directory")
    (tmp_path / "jail").mkdir()
    library = compiled(tmp_path / "jail/x.so", "int x;\n", "-shared", "-fPIC")
    (tmp_path / "jail/model").write_bytes(b"GGUF")
    own = "own" if where == "mount namespace" else "shared"
    target = start("in_a_chroot.py", str(tmp_path / "jail"), f"/{library.name}", "/model", own)
    assert f"another {where}" in reason(target, sys.executable)


def test_the_binding_of_a_real_interpreter_is_asked_once_it_is_known(start: Start, tmp_path: Path) -> None:
    """The module is one that is known to repeat the structs, and the process has it in memory."""
    library = compiled(tmp_path / "libllama.so", PROGRAMS / "stand_in_engine.c", "-shared", "-fPIC")
    log = tmp_path / "log"
    (tmp_path / "llama_cpp").mkdir()
    (tmp_path / "llama_cpp/llama_cpp.py").write_text(
        f"import ctypes\nlib = ctypes.CDLL({str(library)!r})\nlib.llama_decode\n"
        f"open({str(log)!r}, 'a').write('imported\\n')\n"
    )

    def look(name: str) -> ProcessSnapshot:
        return inspect_process(start("wait_with.py", name, PYTHONPATH=str(tmp_path)).pid, ("abi",))

    found = look("llama_cpp.llama_cpp")
    assert found.abi is not None and "has no structs" in found.abi.reason
    assert log.read_text() == "imported\n" * 2
    assert found.abi.library == str(library)
