"""Bad input: one clear line on stderr, the documented status, nothing on stdout, no traceback, no signal."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import Run

QUICK = ("run", "-q", "--raw", "-n", "1", "--temp", "0", "-c", "256", "-t", "1")
TRUNCATIONS, FLIPS, PARTS = 20, 200, 5
LONGEST_S = 20


def check_refused(result: subprocess.CompletedProcess[str], *codes: int) -> str:
    """Check that a run was refused in one line and return the line."""
    assert result.returncode in codes, (result.returncode, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("llamactl: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 1000
    return result.stderr


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda path: None, "no model file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("Not a model\n" * 9), "not a GGUF file"),
        (lambda path: path.write_bytes(b"GGU"), "not a GGUF file"),
        (os.mkfifo, "isn't a regular file"),
        (lambda path: path.symlink_to(path), "can't read"),
    ],
)
def test_files_that_are_no_model(
    llamactl: Run, tmp_path: Path, make: Callable[[Path], object], shown: str
) -> None:
    path = tmp_path / "model.gguf"
    make(path)
    assert shown in check_refused(llamactl(*QUICK, "-m", str(path), "Hi"), 2)


def test_a_name_with_control_characters_and_bytes_is_escaped(llamactl: Run) -> None:
    name = os.fsdecode(b"\x1b[31m\xff\nsecond.gguf")
    line = check_refused(llamactl(*QUICK, "-m", name, "Hi"), 2)
    assert "\x1b" not in line


def test_a_file_that_may_not_be_read(llamactl: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    assert "Permission denied" in check_refused(llamactl(*QUICK, "-m", str(path), "Hi"), 2)


@pytest.fixture(scope="module")
def header(model_path: Path) -> tuple[bytes, int]:
    """Return the bytes of the model before its weights, and the size of the file."""
    import gguf

    end = int(gguf.GGUFReader(model_path).data_offset)
    with model_path.open("rb") as file:
        return file.read(end), model_path.stat().st_size


def in_parallel(function: Callable[[int], Any], count: int) -> list[Any]:
    """Call ``function`` with 0 … count - 1 on all cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(function, range(count)))


def test_models_that_were_cut_off(llamactl: Run, tmp_path: Path, header: tuple[bytes, int]) -> None:
    data, size = header
    chosen = random.Random(1)
    places = [4, 8, 23, 24, len(data) - 1, len(data), size - 1]
    places += [chosen.randrange(24, len(data)) for _ in range(8)]
    places += [chosen.randrange(len(data), size) for _ in range(TRUNCATIONS - len(places))]

    def run(number: int) -> subprocess.CompletedProcess[str]:
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data[: places[number]])
        os.truncate(path, places[number])
        return llamactl(*QUICK, "-m", str(path), "Hi", timeout=LONGEST_S)

    for result in in_parallel(run, len(places)):
        check_refused(result, 2, 125)


def flipped(data: bytes, seed: int) -> bytes:
    """Return the header with one to four bits flipped: in its first bytes, the metadata, or the tensor list."""
    chosen, changed = random.Random(seed), bytearray(data)
    for _ in range(chosen.choice([1, 1, 2, 4])):
        low, high = chosen.choice([(0, 24), (24, 2000), (len(data) - 20_000, len(data)), (0, len(data))])
        changed[chosen.randrange(low, high)] ^= 1 << chosen.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("part", range(PARTS))
def test_models_with_flipped_bits(
    llamactl: Run, tmp_path: Path, header: tuple[bytes, int], part: int
) -> None:
    """Whatever the damage: it runs, or one line says that it doesn't. Weights are zero, so nothing is computed well."""
    data, size = header

    def run(number: int) -> tuple[int, subprocess.CompletedProcess[str]]:
        seed = part * (FLIPS // PARTS) + number
        path = tmp_path / f"{seed}.gguf"
        path.write_bytes(flipped(data, seed))
        os.truncate(path, size)
        result = llamactl(
            *QUICK, "-m", str(path), "Hi", timeout=LONGEST_S, before=["prlimit", "--core=unlimited"]
        )
        path.unlink()
        return seed, result

    refused = 0
    for seed, result in in_parallel(run, FLIPS // PARTS):
        assert result.returncode in {0, 2, 125}, (seed, result.returncode, result.stderr)
        if result.returncode:
            check_refused(result, 2, 125)
            refused += 1
    assert refused > FLIPS // PARTS // 2
    assert not list(tmp_path.glob("core*")), "no core is dumped"


def test_a_header_that_announces_too_much(llamactl: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**62, 2**62))
    check_refused(llamactl(*QUICK, "-m", str(path), "Hi"), 2, 125)


def test_no_memory_for_the_context(llamactl: Run, model_path: Path) -> None:
    before = ["prlimit", f"--as={4 * 2**30}"]
    result = llamactl("run", "-q", "--raw", "-c", "400000", "-n", "1", "Hi", before=before)
    warning, line = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (125, "")
    assert "can't make a context of 400000 tokens" in line
    assert "smaller context (-c)" in line


def test_a_context_beyond_all_memory_is_refused_before_it_is_tried(llamactl: Run, model_path: Path) -> None:
    result = llamactl("run", "-q", "--raw", "-c", str(2**31 - 1), "-n", "1", "Hi", timeout=LONGEST_S)
    *warnings, line = result.stderr.splitlines()
    assert (result.returncode, result.stdout, len(warnings)) == (125, "", 1)
    assert "a context of 2147483647 tokens needs" in line


def test_a_prompt_longer_than_the_context(llamactl: Run, model_path: Path) -> None:
    line = check_refused(llamactl(*QUICK, "a b " * 300), 2)
    assert "the prompt has 601 tokens, the context holds 256" in line
    assert "-c 857" in line


@pytest.mark.parametrize(
    ("arguments", "given", "shown"),
    [
        (("-f", "-"), b"caf\xe9\n", "stdin isn't UTF-8 (byte 3)"),
        ((), b"\xff\xfe\x00", "stdin isn't UTF-8 (byte 0)"),
        ((), b"", "the prompt has no tokens"),
        (("-f", "missing"), b"", "-f 'missing' can't be read: No such file"),
        (("-f", "."), b"", "-f '.' can't be read: Is a directory"),
        (("-f", "-", "text"), b"", "exclude each other"),
    ],
)
def test_prompts_that_are_none(
    llamactl: Run, model_path: Path, arguments: tuple[str, ...], given: bytes, shown: str
) -> None:
    result: Any = llamactl(*QUICK, *arguments, input=given, text=False)
    assert (result.returncode, result.stdout) == (2, b"")
    assert shown in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-option",),
        ("one", "two"),
        ("-n", "many"),
        ("-c", "-1"),
        ("-c", str(2**31)),
        ("-b", "0"),
        ("-t", "100000"),
        ("-lm", "fast"),
        ("-ctk", "q9"),
        ("-fa", "perhaps"),
        ("-ngl", "some"),
        ("-sm", "sideways"),
        ("--mirostat", "3"),
        ("--logit-bias", "5"),
        ("--grammar", "root ::= ("),
        ("--grammar", "a", "--grammar-file", "b"),
        ("--grammar-file", "missing"),
        ("-hf", "not-a-repository"),
        ("-hf", "user/repo:"),
        ("--seed", "-2"),
        ("--seed", str(2**32)),
    ],
)
def test_options_that_cannot_be(llamactl: Run, model_path: Path, arguments: tuple[str, ...]) -> None:
    check_refused(llamactl(*QUICK, *arguments, "Hi"), 2)


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_no_number_of_threads_is_the_automatic_one_as_in_llama_cpp(
    llamactl: Run, model_path: Path, threads: str
) -> None:
    def in_force(*arguments: str) -> Any:
        done = llamactl("run", "-q", "--raw", "--json", "-n", "1", "-c", "256", *arguments, "Hi")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)["settings"]["threads"]["in_force"]

    assert in_force("-t", threads) == in_force()


def test_a_model_of_the_command_line_beats_the_environments(llamactl: Run, model_path: Path) -> None:
    done = llamactl("run", "-hf", "just-a-name", "Hi", env={"LLAMA_ARG_MODEL": str(model_path)})
    assert "just-a-name" in check_refused(done, 2)


def test_two_models_are_refused_wherever_both_are_named(llamactl: Run, model_path: Path) -> None:
    named = {"LLAMA_ARG_MODEL": str(model_path), "LLAMA_ARG_HF_REPO": "user/repo"}
    for done in (
        llamactl("run", "-m", str(model_path), "-hf", "user/repo", "Hi"),
        llamactl("run", "Hi", env={**named}),
    ):
        line = check_refused(done, 2)
        assert "two models" in line
        assert "LLAMA_ARG_MODEL" in line


def test_the_place_of_a_grammars_fault_is_told(llamactl: Run, model_path: Path) -> None:
    done = llamactl("run", "-m", str(model_path), "--grammar", "root ::= (", "-n", "1", "Hi")
    assert "expecting ')' at its end. Check it" in done.stderr


def test_a_quantised_v_cache_without_flash_attention(llamactl: Run, model_path: Path) -> None:
    line = check_refused(llamactl(*QUICK, "-ctv", "q8_0", "-fa", "off", "Hi"), 2, 125)
    assert "flash_attn" in line
