"""Programs of every kind under every recorder: each tells and ends as it does without us."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from aftermath import ENDS_S, Room, check_capture, compiled

ENGINES = ("ptrace", "python", "perf")
PROGRAMS = Path(__file__).resolve().parents[1] / "programs"


@dataclass(frozen=True)
class Animal:
    """A program: a shell line in which {P} is the folder of compiled programs and {T} the test's own."""

    name: str
    script: str
    needs: tuple[str, ...] = ()
    root: bool = False
    programs: tuple[str, ...] = ()


NAMES = "".join(f"\\{byte:03o}" for byte in range(1, 256) if chr(byte) not in "/\n'")
ANIMALS = [
    Animal("500 threads", "{P}/many threads 500", programs=("many",)),
    Animal("2000 children", "{P}/many children 2000", programs=("many",)),
    Animal("20000 mappings", "{P}/many mappings 20000", programs=("many",)),
    Animal("exec from a thread", "{P}/exec_in_thread; echo $?", programs=("exec_in_thread",)),
    Animal("own ptrace", "{P}/own_ptrace | sed 's/.*/told/'", programs=("own_ptrace",)),
    Animal("seccomp that kills", "{P}/own_filter kill; echo $?", programs=("own_filter",)),
    Animal("seccomp that refuses", "{P}/own_filter errno; echo $?", programs=("own_filter",)),
    Animal("LD_AUDIT", "LD_AUDIT={P}/audit.so ls -d /; echo $?", programs=("audit.so",)),
    Animal("LD_PRELOAD", "LD_PRELOAD={P}/audit.so ls -d /; echo $?", programs=("audit.so",)),
    Animal("LD_PRELOAD of nothing", "LD_PRELOAD=/nowhere.so ls -d / 2>/dev/null; echo $?"),
    Animal("static", "{P}/static; echo $?", programs=("static",)),
    Animal("chroot", "chroot {T}/jail /static; echo $?", root=True, programs=("static",)),
    Animal("namespaces", "unshare -fpm --mount-proc sh -c 'echo $$'; echo $?", ("unshare",), root=True),
    Animal("user namespace", "unshare -Ur id -u; echo $?", ("unshare",)),
    Animal("setuid", "{T}/setuid; echo $?", root=True, programs=("static",)),
    Animal("another user", "setpriv --reuid 65534 --clear-groups cat /proc/self/loginuid; echo $?", ("setpriv",), True),
    Animal("a daemon", "(setsid sh -c 'sleep 0.2; echo late > {T}/late' &) ; until cat {T}/late; do :; done 2>/dev/null"),
    Animal("a session of its own", "setsid -w sh -c 'echo $$ > /dev/null; exit 9'; echo $?", ("setsid",)),
    Animal("stopped and continued", "sh -c 'kill -STOP $$; echo on' & p=$!; sleep 0.2; kill -CONT $p; wait $p; echo $?"),
    Animal("a name of every byte", f"x=\"{{T}}/$(printf '{NAMES}')\"; cp /bin/echo \"$x\"; \"$x\" hello; echo $?"),
    Animal("a pipeline", "seq 1000 | sort -r | head -1; echo $?"),
    Animal("killed by itself", "sh -c 'kill -SEGV $$'; echo $?"),
    Animal("no such program", "/nowhere; echo $?"),
    Animal("vfork in a loop", "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; echo $i"),
]  # fmt: skip

SOAK = "LLAMACTL_SOAK_MOMENTS" in os.environ
PAIRS = [
    (animal, engine)
    for index, animal in enumerate(ANIMALS)
    for engine in (ENGINES if SOAK else ENGINES[index % 3 :][:1])
]
"""In the suite each under one recorder, in a soak under all."""

STATIC = 'int puts(const char*);int main(void){puts("static");return 9;}'


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def build(name: str, folder: Path) -> None:
    target = folder / name
    if target.exists():
        return
    if name == "static":
        source = folder / "static.c"
        source.write_text(STATIC)
        if subprocess.run(["cc", "-static", str(source), "-o", str(target)], check=False).returncode:
            pytest.skip("no static C library is installed")
    elif name == "audit.so":
        subprocess.run(["cc", "-shared", "-fPIC", str(PROGRAMS / "audit.c"), "-o", str(target)], check=True)
    else:
        compiled(name, folder)


@pytest.mark.parametrize(
    ("animal", "engine"), PAIRS, ids=[f"{animal.name}-{engine}" for animal, engine in PAIRS]
)
def test_it_tells_and_ends_as_without_us(tmp_path: Path, programs: Path, animal: Animal, engine: str) -> None:
    if animal.root and os.geteuid():
        pytest.skip("needs root")
    for need in animal.needs:
        if shutil.which(need) is None:
            pytest.skip(f"{need} isn't installed")
    for name in animal.programs:
        build(name, programs)
    prepare(tmp_path, programs)
    script = animal.script.replace("{P}", str(programs)).replace("{T}", str(tmp_path))
    alone = subprocess.run(["bash", "-c", script], capture_output=True, check=False, timeout=ENDS_S)
    (tmp_path / "late").unlink(missing_ok=True)
    room = Room(tmp_path)
    capture = tmp_path / "c"
    begin = time.monotonic()
    process = room.start("trace", "-q", "-o", str(capture), "--engine", engine, "--", "bash", "-c", script)
    out, errors = process.communicate(timeout=ENDS_S * 3)
    if engine == "perf" and process.returncode == 125 and b"CAP_PERFMON" in errors:
        pytest.skip("perf tracepoints need CAP_PERFMON")
    assert (process.returncode, out) == (alone.returncode, alone.stdout), errors
    assert b"internal error" not in errors
    assert time.monotonic() - begin < ENDS_S * 3
    room.check_nothing_left()
    check_capture(capture)


def prepare(folder: Path, programs: Path) -> None:
    static = programs / "static"
    if static.exists():
        (folder / "jail").mkdir(exist_ok=True)
        shutil.copy(static, folder / "jail/static")
        shutil.copy(static, folder / "setuid")
        (folder / "setuid").chmod(0o4755)


def test_what_was_refused_to_a_traced_program_is_told(tmp_path: Path, programs: Path) -> None:
    build("own_ptrace", programs)
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--engine", "ptrace", "--", str(programs / "own_ptrace")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 7
    assert done.stdout == "refused 0\n"
    assert "PTRACE_TRACEME" in done.stderr
