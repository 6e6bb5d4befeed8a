"""The command on a real model, with one thread and few tokens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llamactl.render.document import schema

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROGRAMS = Path(__file__).resolve().parent.parent / "programs"


def own_copy(model_file: str, tmp_path: Path) -> Path:
    """Return a copy on the disk that nobody else uses: pages that another process maps stay in the cache."""
    model = tmp_path / "m.gguf"
    shutil.copy(model_file, model)
    with model.open("rb+") as file:
        os.fsync(file.fileno())
    return model


def in_memory(path: Path) -> bool:
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True)
    return done.stdout.strip() in {"tmpfs", "ramfs"}


def test_every_kind_of_test(llamactl: Run, tmp_path: Path, model_file: str) -> None:
    saved = tmp_path / "r.json"
    done = llamactl(
        "bench", "-m", str(own_copy(model_file, tmp_path)), "-t", "1",
        "-p", "8", "-n", "4", "-pg", "8,2", "-d", "0,8", "--ttft", "16", "--load", "cold,warm", "--embed", "8",
        "-np", "2", "--processes", "2", "-r", "2", "--save", str(saved), "-o", "jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    value = json.loads(saved.read_text())
    jsonschema.Draft202012Validator(schema("bench")).validate(value)
    names = [one["name"] for one in value["results"]]
    cold = [] if in_memory(tmp_path) else ["load-cold"]
    assert names == [
        "pp8", "tg4", "pp8+tg2", "ttft16", "embed8", "tg4x2", "tg4p2", *cold, "load-warm",
        "pp8 @ d8", "tg4 @ d8", "pp8+tg2 @ d8", "tg4x2 @ d8",
    ], done.stderr  # fmt: skip
    by_name: dict[str, Any] = dict(zip(names, value["results"], strict=True))
    assert by_name["tg4"]["crossings"] == {"llama_decode": 1, "llama_synchronize": 1}
    assert by_name["tg4x2"]["samples"][0]["tokens"] == 8
    size = Path(model_file).stat().st_size
    assert all(one["cache_before_bytes"] == size for one in by_name["load-warm"]["samples"])
    shared = by_name["tg4p2"]["memory"]["shared"]
    assert shared["pss_bytes"] <= shared["rss_bytes"]
    assert by_name["tg4"]["memory"]["kv_bytes"] > 0
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == [
        name for name in names if by_name[name]["test"]["kind"] in {"pp", "tg", "pg"}
    ]


def test_a_cold_load_reads_the_disk(llamactl: Run, tmp_path: Path, model_file: str) -> None:
    if in_memory(tmp_path):
        pytest.skip("tests' files lie in memory here (tmpfs)")
    model, saved = own_copy(model_file, tmp_path), tmp_path / "r.json"
    done = llamactl(
        "bench", "-m", str(model), "-t", "1", "-p", "0", "-n", "0", "--load", "cold", "-r", "1", "-q", "--save",
        str(saved),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(saved.read_text())["results"]
    (sample,) = result["samples"]
    assert sample["cache_before_bytes"] <= model.stat().st_size / 100
    assert sample["counters"]["disk_read_bytes"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("-p", "x"), ("-r", "0"), ("-t", "-2"), ("-o", "xml"), ("--prio", "9"), ("--numa", "x"), ("-ctk", "f7"),
        ("-fa", "maybe"), ("-lm", "x"), ("-C", "zz"), ("-pg", "1"), ("--load", "hot"), ("-p", "0", "-n", "0"),
        ("--save", "x.xyz"), ("--save", "/nowhere/x.json"), ("--fail-if", "tg4 < 1"), ("--against", "/nowhere"),
        ("--against-python", "/nowhere"), ("--baseline", "/nowhere.json"), ("--update-baseline",),
        ("--confidence", "2"), ("--allow-different", "luck"), ("--plot", "x.gif"), ("--delay", "-1"),
        ("-nkvo", "2"),
    ],
)  # fmt: skip
def test_bad_options_are_one_line_and_status_2(bench: Run, arguments: tuple[str, ...]) -> None:
    done = bench("-n", "4", *arguments) if "-n" not in arguments else bench(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("llamactl: ")


def test_baseline_update_pass_and_misfit(bench: Run, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    base = tmp_path / "base.json"
    shared = ("-p", "0", "-n", "2", "-r", "6", "-q", "--baseline", str(base))
    assert bench(*shared, "--update-baseline").returncode == 0
    page = tmp_path / "page.md"
    conditions = ("--fail-if", "crossings > 1", "--fail-if", "kv_bytes > 1")
    done = bench(*shared, *conditions, "--summary", str(page))
    assert done.returncode == 0, done.stderr
    assert "passed: crossings > 1" in page.read_text()

    value = json.loads(base.read_text())
    value["results"][0]["crossings"]["llama_decode"] = 0
    base.write_text(json.dumps(value))
    done = bench(*shared, *conditions)
    assert done.returncode == 3
    assert "FAILED: crossings > 1: tg2 is 2.000" in done.stderr

    value["environment"]["build_commit"] = "other"
    base.write_text(json.dumps(value))
    done = bench(*shared, *conditions)
    assert done.returncode == 125
    assert "another engine" in done.stderr


def test_ctrl_c_keeps_finished_tests(model_file: str, tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    # The second test takes minutes: Ctrl-C comes in its midst.
    command = ["bench", "-m", model_file, "-t", "1", "-p", "4", "-n", "4000", "-r", "2", "--progress"]
    process = subprocess.Popen(
        [sys.executable, "-m", "llamactl", *command, "--save", str(saved)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # pytest may run with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert process.stderr
    for line in process.stderr:
        if "2/2" in line and "repetition 1" in line:
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    value = json.loads(saved.read_text())
    assert [one["name"] for one in value["results"]] == ["pp4"]
    assert value["complete"] is False
    assert "pp4" in out


@pytest.fixture
def slow_engine(engine_lib: Path, tmp_path: Path) -> Path:
    """The engine, with a llama_decode that takes half as long again."""
    for file in engine_lib.glob("*.so"):
        shutil.copy(file, tmp_path)
    real = tmp_path / "libllamb.so"
    (tmp_path / "libllama.so").rename(real)
    # Another name inside, of the same length: the loader takes one library of a name.
    real.write_bytes(real.read_bytes().replace(b"\0libllama.so\0", b"\0libllamb.so\0"))
    command = [
        "gcc", "-O2", "-shared", "-fPIC", "-DEXTRA_PERCENT=50", "-Wl,--no-as-needed", "-Wl,-soname,libllama.so",
        "-Wl,-rpath,$ORIGIN", "-o", str(tmp_path / "libllama.so"), str(PROGRAMS / "slow_engine.c"), str(real),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return tmp_path


def test_in_turns_a_slower_engine_is_told_from_the_same(
    bench: Run, slow_engine: Path, engine_lib: Path
) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    shared = ("-p", "0", "-n", "4", "-r", "10", "-q")
    # BASE is the slower one: this engine is quicker, in CPU time, which a busy machine doesn't change.
    done = bench(*shared, "--against", str(slow_engine), "--fail-if", "tg4.cpu_ns < 0.9")
    assert done.returncode == 3, done.stderr
    done = bench(
        *shared, "--against", str(engine_lib), "--fail-if", "tg4.cpu_ns > 1.3", "--fail-if", "crossings > 1"
    )
    assert done.returncode == 0, done.stderr
    assert "measured in turns" in done.stderr


def test_an_environment_without_llamactl_is_one_clear_line(bench: Run, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    done = bench("-p", "0", "-n", "2", "-r", "8", "--against-python", str(tmp_path / "v"))
    assert done.returncode == 125
    assert "No module named" in done.stderr and done.stderr.count("\n") == 1


def test_an_engine_without_its_libraries_is_refused(bench: Run, tmp_path: Path) -> None:
    (tmp_path / "libllama.so").write_bytes(b"not a library")
    done = bench("-p", "0", "-n", "2", "-r", "8", "--against", str(tmp_path))
    assert done.returncode == 125
    assert "can't be loaded" in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory with room for a few kilobytes."""
    room = tmp_path / "full"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(room)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting isn't allowed here")
    yield room
    subprocess.run(["umount", str(room)], check=True)


@pytest.mark.parametrize("name", ["r.json", "r.sqlite"])
def test_a_full_disk_loses_no_result(bench: Run, full_disk: Path, name: str) -> None:
    done = bench("-p", "4", "-n", "2", "-r", "1", "-q", "--save", str(full_disk / name))
    assert done.returncode == 125
    assert "pp4" in done.stdout and "tg2" in done.stdout
    assert "stored" in done.stderr or "full" in done.stderr
    assert done.stderr.count("\n") == 1
    # What is there is whole: nothing, or what an earlier test left.
    assert all(json.loads(file.read_text()) for file in full_disk.glob("*.json"))


def test_another_kind_of_file_is_no_history(bench: Run, tmp_path: Path) -> None:
    file = tmp_path / "notes.sqlite"
    file.write_text("notes about something else")
    done = bench("-p", "4", "-n", "0", "-r", "1", "-q", "--save", str(file))
    assert done.returncode == 2 and done.stdout == ""
    assert file.read_text() == "notes about something else"


def test_what_a_test_says_besides_its_time(bench: Run) -> None:
    done = bench(
        "-p", "0", "-n", "2", "-r", "2", "--ttft", "16", "--load", "warm", "-np", "2", "--processes", "2"
    )
    assert done.returncode == 0, done.stderr
    lines = {name: text for name, _, text in (line.partition(": ") for line in done.stderr.splitlines())}
    assert "template " in lines["ttft16"] and "prefill " in lines["ttft16"]
    assert "a step, in the median " in lines["tg2x2"]
    assert "2 processes hold " in lines["tg2p2"]
    assert "of the model in the page cache before" in lines["load-warm"]


def test_compare_files(bench: Run, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    history = str(tmp_path / "h.sqlite")
    for _ in range(2):
        assert bench("-p", "0", "-n", "2", "-r", "6", "-q", "--save", history).returncode == 0
    done = bench("compare", history)
    assert done.returncode == 0 and "tg2" in done.stdout
    done = bench("compare", f"{history}#1", f"{history}#2", "--json", "--fail-if", "kv_bytes > 1")
    jsonschema.Draft202012Validator(schema("bench-compare")).validate(json.loads(done.stdout))
    assert done.returncode == 0
