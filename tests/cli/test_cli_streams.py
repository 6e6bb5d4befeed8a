"""Started with stdin, stdout or stderr closed: a file opened later must not get their numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import clean_environment


def closed(numbers: tuple[int, ...], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the command line with some of its standard streams closed, the others caught."""
    command = [sys.executable, "-m", "llamactl", *arguments]

    def close() -> None:
        for number in numbers:
            os.close(number)

    return subprocess.run(
        command, env=clean_environment(), cwd=cwd, check=False, timeout=60, preexec_fn=close,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize("numbers", [(0,), (1,), (2,), (0, 1, 2)])
def test_it_works_without_them(numbers: tuple[int, ...], tmp_path: Path) -> None:
    done = closed(numbers, "inspect", "--only", "memory", cwd=tmp_path)
    assert done.returncode == (125 if 1 in numbers else 0)
    assert done.stdout.startswith(b"memory: ") == (1 not in numbers)
    assert (done.stderr == b"") == (numbers != (1,))


@pytest.mark.parametrize("numbers", [(1,), (2,), (0, 1, 2)])
def test_a_run_says_nothing_there_and_ends_well(
    numbers: tuple[int, ...], model_path: Path, tmp_path: Path
) -> None:
    done = closed(numbers, "run", "-m", str(model_path), "-n", "1", "--raw", "Hello", cwd=tmp_path)
    assert done.returncode == (125 if 1 in numbers else 0)
    assert (b"stdout is closed" in done.stderr) == (numbers == (1,))
    assert bool(done.stdout) == (1 not in numbers)
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_text_is_utf_8_in_any_locale(variables: dict[str, str], model_path: Path, tmp_path: Path) -> None:
    """As llama.cpp's programs write it, and JSON is; what is shown of it goes the same way."""
    grammar = 'root ::= "é🙂"'
    command = [
        sys.executable,
        "-m",
        "llamactl",
        "run",
        "-m",
        str(model_path),
        "-c",
        "256",
        "-n",
        "16",
        "--raw",
    ]
    for more in ([], ["--json"], ["--jsonl"]):
        done = subprocess.run(
            [*command, "--grammar", grammar, *more, "é"], env=clean_environment(**variables), cwd=tmp_path,
            check=False, timeout=60, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "é🙂" in done.stdout.decode("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "inspect", str(model_path)], env=clean_environment(**variables),
        cwd=tmp_path, check=False, timeout=60, capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_capture_is_not_written_into(tmp_path: Path) -> None:
    capture = tmp_path / "a.capture"
    done = closed(
        (1, 2), "trace", "-o", str(capture), "--", sys.executable, "-c", "print('x' * 99)", cwd=tmp_path
    )
    assert done.returncode == 0
    assert capture.read_bytes().startswith(b"llamactl capture")
    assert b"x" * 99 not in capture.read_bytes()
    assert b"System calls" not in capture.read_bytes()
