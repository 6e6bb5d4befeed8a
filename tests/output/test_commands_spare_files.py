"""Every output of every command: no input is lost, no old file before there is a new one, devices stay devices."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support import Run

CAPTURE = Path(__file__).parents[1] / "captures" / "load.capture"
FILES = ("--report", "--chrome", "--folded", "--jsonl", "--sqlite")
OUTPUTS = ("-o", *FILES)
BENCH = ("bench", "-t", "1", "-p", "0", "-n", "1", "-r", "1", "--no-warmup", "-q")


def device(path: Path) -> Path:
    """A null device of our own."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.chmod(0o666)
        path.open("wb").close()
    except OSError as error:
        pytest.skip(f"no device nodes here: {error}")
    return path


def words_of(outputs: dict[str, Path]) -> list[str]:
    return [word for option, path in outputs.items() for word in (option, str(path))]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return Path(shutil.copy(CAPTURE, tmp_path / "x.capture"))


@pytest.mark.parametrize("option", FILES)
def test_a_view_never_replaces_the_capture_it_shows(llamactl: Run, capture: Path, option: str) -> None:
    content = capture.read_bytes()
    done = llamactl("trace", "--from", str(capture), option, str(capture))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"{option} {capture} is the file that --from reads" in done.stderr
    assert capture.read_bytes() == content


def test_a_program_that_cant_start_costs_no_file(llamactl: Run, tmp_path: Path) -> None:
    outputs = {option: tmp_path / option for option in OUTPUTS}
    for path in outputs.values():
        path.write_text("precious")
    done = llamactl("trace", "-q", *words_of(outputs), "--", "./no-such-program")
    assert done.returncode == 127, done.stderr
    assert [path.read_text() for path in outputs.values()] == ["precious"] * len(OUTPUTS)
    assert len(os.listdir(tmp_path)) == len(OUTPUTS)


@pytest.mark.parametrize("option", ["-o", "--sqlite"])
def test_an_output_never_replaces_what_the_command_names(llamactl: Run, tmp_path: Path, option: str) -> None:
    script = tmp_path / "app.sh"
    script.write_text("true\n")
    done = llamactl("trace", option, str(script), "--", "sh", str(script))
    assert done.returncode == 2
    assert "is the file that the command reads" in done.stderr
    assert script.read_text() == "true\n"


def test_a_device_gets_the_output_and_stays_a_device(llamactl: Run, tmp_path: Path) -> None:
    devices = {option: device(tmp_path / option) for option in OUTPUTS}
    before = {path: path.stat() for path in devices.values()}
    done = llamactl("trace", *words_of(devices), "--", "true")
    assert done.returncode == 0, done.stderr
    for path, old in before.items():
        new = path.stat()
        assert (new.st_ino, new.st_mode, new.st_rdev) == (old.st_ino, old.st_mode, old.st_rdev)
    assert len(os.listdir(tmp_path)) == len(OUTPUTS)


def test_a_pipe_gets_the_whole_output(llamactl: Run) -> None:
    """As ``>(…)`` of a shell gives one."""
    pipes = {option: os.pipe() for option in OUTPUTS}
    writing = [write for _, write in pipes.values()]
    with ExitStack() as stack, ThreadPoolExecutor(len(pipes)) as pool:
        got = {
            option: pool.submit(stack.enter_context(open(read, "rb")).read)
            for option, (read, _) in pipes.items()
        }
        try:
            names = {option: Path(f"/dev/fd/{write}") for option, (_, write) in pipes.items()}
            done = llamactl("trace", *words_of(names), "--", "true", pass_fds=writing)
        finally:
            for write in writing:
                os.close(write)
        content = {option: future.result(60) for option, future in got.items()}
    assert done.returncode == 0, done.stderr
    assert content["-o"].startswith(b"llamactl capture")
    assert content["--sqlite"].startswith(b"SQLite format 3")
    assert all(content.values())


def test_outputs_are_for_their_owner_under_any_umask(llamactl: Run, tmp_path: Path) -> None:
    outputs = [word for option in ("-o", *FILES) for word in (option, f"f{option.strip('-')}")]
    done = llamactl("trace", *outputs, "--", "true", preexec_fn=lambda: os.umask(0))
    assert done.returncode == 0, done.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {f"f{option.strip('-')}": 0o600 for option in ("-o", *FILES)}


@pytest.fixture
def stored(llamactl: Run, tmp_path: Path, model_file: str) -> Path:
    path = tmp_path / "r.json"
    done = llamactl(*BENCH, "-m", model_file, "--save", str(path), preexec_fn=lambda: os.umask(0))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path


def test_a_draft_with_a_foreseeable_name_is_no_trap(llamactl: Run, tmp_path: Path, model_file: str) -> None:
    """``bench --save`` used to write to ``.NAME.PID``: a link of that name had its target overwritten."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for number in range(os.getpid(), os.getpid() + 2000):
        (tmp_path / f".r.json.{number}").symlink_to(victim)
        (tmp_path / f".{number}r.svg").symlink_to(victim)
    saved = llamactl(
        *BENCH, "-m", model_file, "--save", str(tmp_path / "r.json"), "--plot", str(tmp_path / "r.svg")
    )
    assert saved.returncode == 0, saved.stderr
    assert victim.read_text() == "precious"
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "llamactl.bench"


def test_a_benchmark_spares_its_model_and_its_baseline(llamactl: Run, stored: Path, model_file: str) -> None:
    size, content = os.path.getsize(model_file), stored.read_bytes()
    plot = stored.with_name("model.svg")
    plot.symlink_to(model_file)
    for words in (("--plot", str(plot)), ("--summary", model_file),
                  ("--save", str(stored), "--baseline", str(stored)),
                  ("--summary", str(stored), "--save", str(stored))):  # fmt: skip
        done = llamactl(*BENCH, "-m", model_file, *words)
        assert done.returncode == 2, words
        assert done.stderr.count("\n") == 1
        assert "reads" in done.stderr or "would write the same file" in done.stderr
    assert (os.path.getsize(model_file), stored.read_bytes()) == (size, content)


@pytest.mark.parametrize(
    "name", ["a#b.sqlite", "a?mode=rwc.sqlite", "a%20b.sqlite", "50%.sqlite", "a&b c.sqlite"]
)
def test_comparing_reads_the_history_of_any_name_and_makes_nothing(
    llamactl: Run, tmp_path: Path, stored: Path, name: str
) -> None:
    history = tmp_path / "histories" / name
    history.parent.mkdir()
    with closing(sqlite3.connect(history)) as database, database:
        database.execute(
            "CREATE TABLE llamactl_bench (run INTEGER PRIMARY KEY, test_time TEXT, document TEXT)"
        )
        for _ in range(2):
            database.execute("INSERT INTO llamactl_bench (document) VALUES (?)", (stored.read_text(),))
    content = history.read_bytes()
    history.chmod(0o400)
    for words in ((str(history),), (f"{history}#1", f"{history}#2")):
        done = llamactl("bench", "compare", *words)
        assert "tg1" in done.stdout + done.stderr
        assert "isn't a history" not in done.stderr
    missing = llamactl("bench", "compare", str(history.with_name(f"no{name}")))
    assert missing.returncode == 2
    assert os.listdir(history.parent) == [name]
    assert history.read_bytes() == content


def test_a_history_is_made_for_its_owner_and_never_in_a_pipe(
    llamactl: Run, tmp_path: Path, model_file: str
) -> None:
    history, pipe = tmp_path / "h.sqlite", tmp_path / "p.sqlite"
    os.mkfifo(pipe)
    refused = llamactl(*BENCH, "-m", model_file, "--save", str(pipe), timeout=60)
    assert refused.returncode == 2
    assert "isn't a regular file" in refused.stderr
    for _ in range(2):
        done = llamactl(*BENCH, "-m", model_file, "--save", str(history), preexec_fn=lambda: os.umask(0))
        assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with closing(sqlite3.connect(history)) as database:
        assert database.execute("SELECT count(*) FROM llamactl_bench").fetchone() == (2,)
