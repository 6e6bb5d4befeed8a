"""``llamactl trace`` as people call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CAPTURE = str(TESTS / "captures" / "load.capture")


def llamactl(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run llamactl as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "llamactl", *words], capture_output=True, text=True, check=False, cwd=TESTS
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--from", CAPTURE, "-p", "1"), "exclude each other"),
        (("--from", CAPTURE, "--", "true"), "exclude each other"),
        (("--from", "/nowhere"), "can't open the capture /nowhere"),
        (("--from", __file__), "isn't a capture"),
        (("-e", "trace=opne", "--", "true"), "no system call is called 'opne'"),
        (("--limit", "many", "--", "true"), "--limit many"),
        (("--format", "yaml", "--", "true"), "--format yaml"),
        (("--show", "nothing", "--", "true"), "no such table"),
        (("-p", "1", "--compare-untraced"), "needs a command"),
        (("--watch", "--no-calls", "--", "true"), "--watch needs the calls"),
        (("--breakpoints", "--no-calls", "--", "true"), "--breakpoints needs the calls"),
        (
            ("--engine", "foo", "--", "true"),
            "there is no recorder 'foo'. Recorders are perf, ptrace, python.",
        ),
        (
            ("--recorder", "foo", "--", "true"),
            "there is no recorder 'foo'. Recorders are perf, ptrace, python.",
        ),
        (("-p", "4194305"), "no process has the number 4194305"),
        (("-p", "0"), "-p 0 isn't a process"),
        (("--duration", "nan", "--", "true"), "--duration nan isn't a time"),
        (("--from", CAPTURE, "--phase", "lunch"), "--phase lunch: there is no such phase. Phases: load,"),
    ],
)
def test_mistakes_on_the_command_line(words: tuple[str, ...], complaint: str) -> None:
    done = llamactl("trace", *words)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_capture_is_shown_again() -> None:
    done = llamactl("trace", "--from", CAPTURE, "--show", "phases")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.startswith("trace: python app.py\n")
    assert "By phase" in done.stderr


def test_a_selection_that_nothing_fits_is_said() -> None:
    done = llamactl("trace", "--from", CAPTURE, "--thread", "nobody")
    assert done.returncode == 0
    assert done.stderr.startswith("llamactl: warning: no system call that was recorded is of such")
    assert "none recorded" in done.stderr and "; 0 failed" not in done.stderr
    assert "warning" not in llamactl("trace", "--from", CAPTURE, "--phase", "load").stderr


def test_a_capture_without_records_has_no_figures(tmp_path: Path) -> None:
    cut = tmp_path / "cut.capture"
    cut.write_bytes(Path(CAPTURE).read_bytes()[:24])
    shown = llamactl("trace", "--from", str(cut)).stderr
    assert "INCOMPLETE" in shown
    rows = {line[1:15].strip(): line[15:67].strip() for line in shown.splitlines() if line.startswith(" ")}
    assert (rows["System calls"], rows["Threads"]) == ("none recorded", "none seen")


def test_every_output_at_once(tmp_path: Path) -> None:
    names = {
        "--report": "r.json",
        "--chrome": "c.json",
        "--folded": "f.txt",
        "--jsonl": "e.jsonl",
        "--sqlite": "t.db",
    }
    words = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    done = llamactl("trace", "--from", CAPTURE, "-e", "%file", *words)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["schema"] == "llamactl.trace"
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in names.values())


@pytest.mark.parametrize("option", ["-o", "--report", "--chrome", "--folded", "--jsonl", "--sqlite"])
def test_a_place_that_can_t_be_written_is_told_before_anything_runs(tmp_path: Path, option: str) -> None:
    ran, place = tmp_path / "ran", tmp_path / "no" / "r.txt"
    done = llamactl("trace", option, str(place), "--", "touch", str(ran))
    assert done.returncode == 2
    assert f"{place}: No such file or directory" in done.stderr and done.stderr.count("\n") == 1
    assert not ran.exists()


def test_help_costs_no_numpy() -> None:
    code = (
        "import sys; from llamactl.cli import trace;"
        " print(sorted({'numpy', 'ptrace', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TESTS)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_program_s_status_is_ours(script: str, status: int) -> None:
    assert llamactl("trace", "--engine", "ptrace", "-q", "--", "sh", "-c", script).returncode == status


def test_the_program_keeps_its_streams_and_the_capture_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "kept.capture"
    done = llamactl(
        "trace", "--engine", "ptrace", "-o", str(path), "--log", "--", "sh", "-c", "echo out; echo err >&2"
    )
    assert done.stdout == "out\n"
    assert "err\n" in done.stderr
    assert "write(1<" in done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    again = llamactl("trace", "--from", str(path), "--format", "json")
    document = json.loads(again.stderr)
    assert {row["name"]: row["count"] for row in document["calls"]}["write"] == 2
    assert document["cost"]["complete"] is True


def test_without_o_no_capture_stays(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--engine", "ptrace", "-q", "--", "true"],
        env=environment, cwd=TESTS, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_untraced_run_is_compared_and_kept_in_the_capture(tmp_path: Path) -> None:
    path = str(tmp_path / "c")
    done = llamactl(
        "trace", "--engine", "ptrace", "-o", path, "--compare-untraced", "--format", "json", "--", "sh", "-c", "exit 3"
    )  # fmt: skip
    assert done.returncode == 3
    document = json.loads(done.stderr)
    cost = document["cost"]
    assert cost["ratio"] == pytest.approx(cost["traced_s"] / cost["untraced_s"])
    kept = document["metadata"]["cost"]
    assert {name: kept[name] for name in ("traced_s", "untraced_s", "ratio")} == {
        name: cost[name] for name in ("traced_s", "untraced_s", "ratio")
    }
    again = llamactl("trace", "--from", path)
    wanted = f"{cost['ratio']:.2f} times the untraced run of {cost['untraced_s']:.2f} s"
    assert wanted in " ".join(again.stderr.split())
    assert ", complete" in again.stderr
    shown = json.loads(llamactl("trace", "--from", path, "--format", "json").stderr)
    assert shown["cost"] == cost


@pytest.mark.parametrize(
    ("words", "script", "why"),
    [
        ((), "test -e {0} && exit 4; touch {0}", "ended with status 4, the traced one with 0"),
        (("--limit", "10"), "touch {0}; cd / ; : < /dev/null", "ended before the program did (limit)"),
    ],
)
def test_what_can_t_be_compared_has_no_ratio(
    tmp_path: Path, words: tuple[str, ...], script: str, why: str
) -> None:
    done = llamactl(
        "trace", "--engine", "ptrace", "--compare-untraced", *words, "--format", "json", "--",
        "sh", "-c", script.format(tmp_path / "made"),
    )  # fmt: skip
    document = json.loads(done.stderr)
    assert document["cost"]["ratio"] is None
    assert document["cost"]["untraced_s"] is None
    assert why in document["metadata"]["notes"][-1]


def test_the_command_line_can_be_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "secret.capture"
    llamactl(
        "trace",
        "--engine",
        "ptrace",
        "-q",
        "-e",
        "openat",
        "--no-argv",
        "-o",
        str(path),
        "--",
        "true",
        "s3cr3t",
    )
    assert b"s3cr3t" not in path.read_bytes()
