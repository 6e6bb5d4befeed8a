"""Planted secrets are in no output: contents, environment, prompts, answers, and arguments where that is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Run, clean_environment

PROGRAM = str(Path(__file__).resolve().parents[1] / "programs" / "keep_secrets.py")
SECRET = "Zq7kVw3xPlanted"
OUTPUTS = ("-o", "--report", "--chrome", "--folded", "--jsonl", "--sqlite")
ENGINES = ("ptrace", "perf", "python")


def outputs(folder: Path) -> list[str]:
    """Words for every output of a trace, into a folder of their own."""
    folder.mkdir()
    return [word for option in OUTPUTS for word in (option, str(folder / f"out{option.strip('-')}"))]


def found(folder: Path, *texts: str) -> list[tuple[str, bytes]]:
    """Every place of a text in every file, as UTF-8, UTF-16 and reversed hex never hide it from ``strings``."""
    wanted = [text.encode(coding) for text in texts for coding in ("utf-8", "utf-16-le")]
    return [
        (path.name, content[max(content.find(one) - 60, 0) :][:160])
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for content in (path.read_bytes(),)
        for one in wanted
        if one in content
    ]


def traced(
    llamactl: Run, words: list[str], engine: str, **options: object
) -> subprocess.CompletedProcess[str]:
    done = llamactl("trace", "--engine", engine, "-e", "all", *words, **options)
    if done.returncode == 125 and "engine" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def again(llamactl: Run) -> Iterator[object]:
    """Show the capture in every format that the recording didn't make."""

    def show(capture: Path) -> None:
        for name in ("json", "markdown", "table"):
            report = str(capture.with_name(f"again.{name}"))
            done = llamactl(
                "trace",
                "--from",
                str(capture),
                "--format",
                name,
                "--show",
                "all",
                "--log",
                "--report",
                report,
            )
            assert done.returncode == 0, done.stderr

    yield show


@pytest.mark.parametrize("engine", ENGINES)
def test_without_arguments_no_secret_is_anywhere(
    llamactl: Run, again: object, tmp_path: Path, engine: str
) -> None:
    work, made = tmp_path / "work", tmp_path / "made"
    work.mkdir()
    command = [sys.executable, PROGRAM, str(work), f"in-argument-{SECRET}"]
    words = [*outputs(made), "--no-argv", "--show", "all", "--", *command[:3], f"in-argument-{SECRET}"]
    done = traced(llamactl, words, engine, env={"PLANTED": SECRET}, preexec_fn=lambda: os.umask(0))
    again(made / "outo")  # type: ignore[operator]
    assert f"in-output-{SECRET}" in done.stdout
    assert SECRET not in done.stderr
    assert found(made, SECRET) == []
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}


@pytest.mark.parametrize("engine", ENGINES)
def test_with_arguments_nothing_else_is(llamactl: Run, again: object, tmp_path: Path, engine: str) -> None:
    work, made = tmp_path / "work", tmp_path / "made"
    work.mkdir()
    words = [
        *outputs(made),
        "--show",
        "all",
        "--",
        sys.executable,
        PROGRAM,
        str(work),
        f"in-argument-{SECRET}",
    ]
    traced(llamactl, words, engine, env={"PLANTED": SECRET})
    again(made / "outo")  # type: ignore[operator]
    kinds = ("file", "pipe", "socket", "datagram", "output")
    assert found(made, *(f"in-{kind}-" for kind in kinds), f"PLANTED={SECRET}") == []
    assert found(made, f"in-argument-{SECRET}") != []


def test_of_a_process_that_runs_neither(llamactl: Run, tmp_path: Path) -> None:
    environment = clean_environment(PLANTED=SECRET)
    command = [sys.executable, PROGRAM, str(tmp_path), f"in-argument-{SECRET}", "wait"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        try:
            assert "in-output" in process.stdout.readline()
            assert process.stdout.readline() == "ready\n"
            made = tmp_path / "made"
            words = [
                *outputs(made),
                "--no-argv",
                "--show",
                "all",
                "--duration",
                "0.3",
                "-p",
                str(process.pid),
            ]
            done = llamactl("trace", "-e", "all", *words)
            if done.returncode == 125:
                pytest.skip(done.stderr)
            assert done.returncode == 0, done.stderr
            assert SECRET not in done.stdout + done.stderr
            assert found(made, SECRET) == []
            for more in ((), ("--json",)):
                looked = llamactl("inspect", str(process.pid), *more)
                assert looked.returncode == 0, looked.stderr
                assert not {f"PLANTED={SECRET}", f"in-file-{SECRET}", f"in-pipe-{SECRET}"} & set(
                    looked.stdout.split('"')
                )
                assert looked.stdout.count(SECRET) == looked.stdout.count(f"in-argument-{SECRET}")
        finally:
            process.stdin.close()


PROMPT = f"Write one sentence about a sea called {SECRET}."


@pytest.mark.parametrize(
    "words", [("run",), (sys.executable, "-m", "llamactl", "run")], ids=["own", "command"]
)
def test_prompt_and_answer_of_a_run_are_nowhere(
    llamactl: Run, tmp_path: Path, model_file: str, words: tuple[str, ...]
) -> None:
    made = tmp_path / "made"
    run = [
        *words,
        "-m",
        model_file,
        "-n",
        "12",
        "--temp",
        "0",
        "-t",
        "1",
        "--system",
        f"Say {SECRET}",
        PROMPT,
    ]
    done = llamactl("trace", *outputs(made), "--show", "all", "--", *run)
    assert done.returncode == 0, done.stderr
    answer = done.stdout.strip()
    assert len(answer) > 10
    assert SECRET not in done.stderr
    assert found(made, SECRET, answer[:20]) == []


def test_observing_a_run_says_nothing_of_its_prompt(llamactl: Run, model_file: str) -> None:
    done = llamactl("run", "--observe", "-m", model_file, "-n", "4", "-t", "1", PROMPT)
    assert done.returncode == 0, done.stderr
    assert "trace: llamactl run" in done.stderr
    assert SECRET not in done.stderr


def test_a_run_that_is_attached_to_and_looked_at_keeps_its_prompt(
    llamactl: Run, tmp_path: Path, model_file: str
) -> None:
    command = [
        sys.executable,
        "-m",
        "llamactl",
        "run",
        "-m",
        model_file,
        "-t",
        "1",
        "--ignore-eos",
        "-n",
        "100000",
    ]
    with subprocess.Popen(
        [*command, "-c", "2048", PROMPT],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        try:
            process.stdout.read(1)
            made = tmp_path / "made"
            done = llamactl("trace", *outputs(made), "--duration", "0.3", "-p", str(process.pid))
            if done.returncode == 125:
                pytest.skip(done.stderr)
            assert done.returncode == 0, done.stderr
            looked = llamactl("inspect", str(process.pid), "--json")
            assert "--ignore-eos" in looked.stdout
            assert SECRET not in done.stderr + looked.stdout
            assert found(made, SECRET) == []
        finally:
            process.kill()


def test_a_benchmark_tells_no_environment(llamactl: Run, tmp_path: Path, model_file: str) -> None:
    names = [tmp_path / f"r.{suffix}" for suffix in ("json", "jsonl", "csv", "md", "sql", "sqlite")]
    saving = [word for name in names for word in ("--save", str(name))]
    done = llamactl(
        "bench", "-m", model_file, "-t", "1", "-p", "0", "-n", "1", "-r", "1", "--no-warmup", *saving,
        "--summary", str(tmp_path / "page"), "-o", "json", env={"PLANTED": SECRET},
        preexec_fn=lambda: os.umask(0),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert found(tmp_path, SECRET) == []
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
