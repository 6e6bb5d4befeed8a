"""Everything that a program inherits is as without us, for each recorder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recording import Program, engines, recorded

from llamactl.trace.record.world import inherited_ignored

pytest_plugins = ["recording"]

ODD = (
    "trap '' INT TERM HUP PIPE USR1 XFSZ; ulimit -Sn 100; ulimit -Sc 0; umask 027; "
    "echo 77 > /proc/self/oom_score_adj; cd /usr/lib; exec 7</dev/null 9>>/dev/null; export ODD='a b\nc'; "
)
PLAIN = "umask 022; cd /; "
OURS = {
    "TracerPid", "Pid", "Tgid", "PPid", "Ngid", "NSpid", "NStgid", "VmPeak", "VmSize", "VmHWM", "VmRSS", "VmData",
    "VmPTE", "RssAnon", "RssFile", "VmLib", "VmSwap", "RssShmem", "VmStk", "SigQ", "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches", "Seccomp", "Seccomp_filters", "NoNewPrivs", "Speculation_Store_Bypass",
    "SpeculationIndirectBranch", "FDSize", "VmExe", "VmPin", "VmLck", "HugetlbPages", "State", "NSpgid",
}  # fmt: skip
"""Of the process itself, or what recording can't do without (docs/how-tracing-works.md)."""
OUR_VARIABLES = re.compile(r"env (LD_AUDIT|LD_PRELOAD|LLAMACTL_\w+)=")


def facts(text: str) -> list[str]:
    return [
        line
        for line in text.split("\n")
        if not (line.startswith("/proc/self/status: ") and line.split(": ")[1].split(":")[0] in OURS)
        and not OUR_VARIABLES.match(line)
        and "llamactl" not in line
    ]


def outputs(tmp_path: Path, world: str, argv: list[str], out: Path, before: list[str]) -> list[str]:
    """Run a command in such a world; the shell that made it stays its parent, as with people's own."""
    script = f"{world}{shlex.join(argv)} > {out} 2> {tmp_path}/errors; exit $?"
    done = subprocess.run(
        [*before, "sh", "-c", script], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stderr, (tmp_path / "errors").read_text())
    return facts(out.read_text())


@engines()
@pytest.mark.parametrize("world", [ODD, PLAIN], ids=["odd", "plain"])
@pytest.mark.parametrize("selection", ["file", "all"])
def test_its_world_is_as_without_us(
    tmp_path: Path, program: Program, engine: str, world: str, selection: str
) -> None:
    if world is ODD and os.geteuid():
        world = world.replace("echo 77 > /proc/self/oom_score_adj; ", "")
    out = tmp_path / "out"
    before = ["nice", "-n", "3", "chrt", "-b", "0"] if world is ODD else []
    alone = outputs(tmp_path, world, [program("world")], out, before)
    chosen = ["-e", "all"] if selection == "all" else []
    command = [sys.executable, "-m", "llamactl", "trace", "-q", "--engine", engine, *chosen, "--"]
    traced = outputs(tmp_path, world, [*command, program("world")], out, before)
    assert traced == alone
    assert any("env ODD" in line for line in alone) == (world is ODD)


@engines()
def test_a_program_that_has_blocked_signals_keeps_them(tmp_path: Path, program: Program, engine: str) -> None:
    blocked = {signal.SIGUSR2, signal.SIGRTMAX}

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)

    command = [sys.executable, "-m", "llamactl", "trace", "-q", "--engine", engine, "--", program("world")]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=block, check=True)
    (line,) = [line for line in done.stdout.split("\n") if "SigBlk" in line]
    assert int(line.rpartition("\t")[2], 16) == sum(1 << (number - 1) for number in blocked)


@engines()
def test_how_it_ended_is_known_where_sigchld_is_ignored(tmp_path: Path, engine: str) -> None:
    script = "trap '' CHLD; \"$@\"; echo $?"
    command = [sys.executable, "-m", "llamactl", "trace", "-q", "--engine", engine, "--"]
    done = subprocess.run(
        ["bash", "-c", script, "x", *command, "sh", "-c", "exit 9"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "9\n"


BOTH = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))
PIPE = 1 << (signal.SIGPIPE - 1)


@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        (BOTH, 0, 0),
        (BOTH, PIPE, PIPE),
        (BOTH, BOTH, BOTH),
        (BOTH, None, 0),  # A Python, whose children get the defaults.
        (BOTH | 2, 0, 2),
        (BOTH | 2, None, 2),
    ],
)
def test_what_python_hides_is_taken_from_the_parent(own: int, parent: int | None, expected: int) -> None:
    assert inherited_ignored(own, parent) == expected


@engines()
@pytest.mark.parametrize("selection", [None, frozenset({0, 1, 59, 257})], ids=["all", "some"])
@pytest.mark.parametrize("kind", ["trace", "kill", "errno"])
def test_a_filter_of_its_own_works_as_without_us(
    tmp_path: Path, program: Program, engine: str, selection: frozenset[int] | None, kind: str
) -> None:
    """Where it asked for a tracer, its calls went through instead of failing."""
    argv = [program("own_filter"), kind]
    alone = subprocess.run(argv, capture_output=True, check=False)
    out = tmp_path / "out"
    seen = recorded(
        tmp_path / "c", ["sh", "-c", f"exec {shlex.join(argv)} > {out}"], engine, selection=selection
    )
    assert out.read_bytes() == alone.stdout
    code = alone.returncode
    assert seen.result.exit_code == (128 - code if code < 0 else code)


@engines()
def test_strict_seccomp_is_had_or_its_refusal_is_told(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("own_filter"), "strict"]
    seen = recorded(tmp_path / "c", argv, engine, selection=frozenset({257}))
    told = [note for note in seen.result.notes if "strict seccomp" in note]
    assert (seen.result.exit_code, len(told)) in {(5, 0), (4, 1)}
    if told:
        assert "--recorder ptrace -e all" in told[0]
        again = recorded(tmp_path / "d", argv, "ptrace")
        assert again.result.exit_code == 5
