"""Where the machine gives less: no ``/sys``, a control group without memory, a disk quota, programs of 32 bits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aftermath import ENDS_S, Room, check_capture

from llamactl.process.cgroup import hierarchy

SOAK = "LLAMACTL_SOAK_MOMENTS" in os.environ
ENGINES = ("ptrace", "python", "perf") if SOAK else ("ptrace", "perf")
PROGRAM = ["sh", "-c", "ls / > /dev/null; echo told; exit 7"]
LLAMACTL = [sys.executable, "-m", "llamactl"]
WITHOUT_SYS = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"]


@pytest.fixture
def without_sys() -> list[str]:
    """Words before a command that take ``/sys`` away from it alone."""
    if subprocess.run([*WITHOUT_SYS, "true"], check=False, capture_output=True).returncode:
        pytest.skip("hiding /sys needs root and mount namespaces")
    return WITHOUT_SYS


def done(room: Room, words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    found = subprocess.run(
        words, env=room.environment, capture_output=True, check=False, timeout=ENDS_S * 3, **options
    )
    assert b"Traceback" not in found.stderr
    assert b"internal error" not in found.stderr, found.stderr
    return found


@pytest.mark.parametrize("engine", [None, *ENGINES])
def test_a_recording_without_sys(tmp_path: Path, without_sys: list[str], engine: str | None) -> None:
    room = Room(tmp_path)
    words = ["trace", *(["--engine", engine] if engine else []), "-o", str(tmp_path / "c"), "--", *PROGRAM]
    found = done(room, [*without_sys, *LLAMACTL, *words])
    refused = engine == "perf" and found.returncode == 125 and b"CAP_" in found.stderr
    assert refused or (found.returncode, found.stdout) == (7, b"told\n"), found.stderr
    room.check_nothing_left()
    check_capture(tmp_path / "c")


def test_this_machine_and_a_process_without_sys(tmp_path: Path, without_sys: list[str]) -> None:
    room = Room(tmp_path)
    told = done(room, [*LLAMACTL, "inspect", "--json"])
    found = done(room, [*without_sys, *LLAMACTL, "inspect", "--json"])
    assert found.returncode == 0, found.stderr
    machine, cpu = json.loads(found.stdout)["machine"], json.loads(told.stdout)["machine"]["cpu"]
    assert machine["cpu"]["logical"] == cpu["logical"], "/proc knows them, too"
    assert machine["cpu"]["physical_cores"] in {cpu["physical_cores"], None}
    assert machine["memory"]["huge_pages"]["transparent"] is None
    process = done(room, [*without_sys, *LLAMACTL, "inspect", str(os.getpid()), "--json"])
    assert process.returncode == 0, process.stderr
    limits = json.loads(process.stdout)["processes"][0]["limits"]
    assert (limits["memory"], limits["cpu"], limits["pids"]) == (None, None, None), "that isn't no limit"


LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}


@pytest.fixture
def group() -> Iterator[tuple[Path, Path]]:
    """A control group of our own and the file of its limit of memory, in either version."""
    found = hierarchy("memory")
    if found is None:
        pytest.skip("no control group with memory is mounted")
    place = found.mount / f"llamactl-faults-{os.getpid()}"
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        limit = place / LIMITS[found.version]
        if not limit.exists():
            pytest.skip("the memory controller isn't given to this level")
        yield place, limit
    finally:
        place.rmdir()


def kills(place: Path) -> int:
    """How many processes the kernel has killed in a group (memory.events; memory.oom_control of version 1)."""
    for name in ("memory.events", "memory.oom_control"):
        if (place / name).exists():
            words = [line.split() for line in (place / name).read_text().split("\n")]
            return next((int(line[1]) for line in words if line[:1] == ["oom_kill"]), 0)
    return 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mebibytes", [16, 44, 300])
def test_the_groups_limit_of_memory(
    tmp_path: Path, group: tuple[Path, Path], engine: str, mebibytes: int
) -> None:
    place, limit = group
    limit.write_text(str(mebibytes << 20))
    room = Room(tmp_path)
    capture = tmp_path / "c"
    into = ["sh", "-c", f'echo $$ > {place}/cgroup.procs && exec "$@"', "sh"]
    words = [*LLAMACTL, "trace", "-q", "--engine", engine, "-o", str(capture), "--", *PROGRAM]
    found = done(room, [*into, *words])
    refused = engine == "perf" and found.returncode == 125 and b"CAP_" in found.stderr
    killed = found.returncode == -9 and kills(place) > 0
    assert refused or killed or (found.returncode, found.stdout) == (7, b"told\n"), found
    assert mebibytes < 100 or not killed, "300 MiB are enough"
    room.check_nothing_left()
    check_capture(capture)


@pytest.mark.parametrize("call", ["writev", "fsync", "ftruncate"])
def test_a_disk_quota(tmp_path: Path, call: str) -> None:
    """The kernels of test machines seldom have quotas, so strace gives llamactl the error of one (EDQUOT)."""
    if shutil.which("strace") is None:
        pytest.skip("strace isn't installed")
    room = Room(tmp_path)
    inject = [
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:error=EDQUOT:when=4+",
    ]
    mark = tmp_path / "mark"
    script = f"for i in 1 2 3; do ls -lR /usr/include > /dev/null; done; echo ended > {mark}; exit 7"
    words = [*LLAMACTL, "trace", "--engine", "ptrace", "-o", str(tmp_path / "c"), "--", "sh", "-c", script]
    found = done(room, [*inject, *words])
    assert mark.read_text() == "ended\n", "the program runs to its end"
    assert found.returncode in {7, 125}
    if call == "writev":
        assert b"quota" in found.stderr.lower()
        assert b"Free some space" in found.stderr
    check_capture(tmp_path / "c")


@pytest.mark.parametrize("engine", ["ptrace", "python", "perf"])
def test_a_program_of_32_bits(tmp_path: Path, engine: str) -> None:
    program = compiled_for_32_bits(tmp_path)
    room = Room(tmp_path)
    report = tmp_path / "report.json"
    words = [
        *LLAMACTL,
        "trace",
        "--engine",
        engine,
        "-o",
        str(tmp_path / "c"),
        "--report",
        str(report),
        "--",
        program,
    ]
    found = done(room, words)
    if engine == "perf" and found.returncode == 125 and b"CAP_" in found.stderr:
        pytest.skip("perf tracepoints need CAP_PERFMON")
    assert (found.returncode, found.stdout) == (9, b"told\n")
    told = json.loads(report.read_text())
    calls = {row["name"]: row["count"] for row in told["calls"]}
    assert calls == {"execve": 1, "i386_syscall_4": 1, "i386_syscall_1": 1}, (
        "4 isn't stat there, and 1 isn't write"
    )
    assert told["blind"]["foreign_calls"] == 2
    check_capture(tmp_path / "c")


def compiled_for_32_bits(folder: Path) -> str:
    """Assemble tests/programs/small32.s, which needs no C library."""
    source = Path(__file__).resolve().parents[1] / "programs" / "small32.s"
    thing, program = folder / "small32.o", folder / "small32"
    for words in (
        ["as", "--32", str(source), "-o", str(thing)],
        ["ld", "-m", "elf_i386", str(thing), "-o", str(program)],
    ):
        if subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("no assembler for 32 bits")
    if subprocess.run([str(program)], check=False, capture_output=True).returncode != 9:
        pytest.skip("this kernel runs no programs of 32 bits")
    return str(program)
