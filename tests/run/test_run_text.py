"""``llamactl run`` as a person uses it: where the prompt comes from, what goes to stdout, which option wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import Run

BASE = ("run", "--temp", "0", "-c", "512", "-t", "1")


@pytest.fixture
def text(llamactl: Run, model_path: Path) -> Any:
    """Return a function that runs and returns stdout of a run that must succeed without a word on stderr."""

    def run(*arguments: str, **options: Any) -> str:
        result = llamactl(*BASE, "-q", *arguments, **options)
        assert (result.returncode, result.stderr) == (0, "")
        return str(result.stdout)

    return run


def document(llamactl: Run, *arguments: str, **options: Any) -> Any:
    result = llamactl(*BASE, "-q", "--json", *arguments, **options)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_stdout_is_the_text_and_stderr_one_line_of_figures(llamactl: Run, text: Any) -> None:
    result = llamactl(*BASE, "-n", "8", "Say hello.")
    assert result.returncode == 0
    assert result.stdout == text("-n", "8", "Say hello.")
    assert result.stdout.endswith("\n")
    assert result.stderr.count("\n") == 1
    for word in ("load ", "prompt ", "8 tok, ", "tok/s", "first token ", "MiB private"):
        assert word in result.stderr
    assert "\x1b" not in result.stderr, "no colours and no bar where nobody sees them"


def test_the_prompt_from_argument_file_and_stdin_is_the_same(text: Any, tmp_path: Path) -> None:
    prompt = "Größe: 20 °C 🙂 — what is that?"
    file = tmp_path / "prompt"
    file.write_text(prompt + "\n", encoding="utf-8")
    expected = text("-n", "6", prompt)
    assert text("-n", "6", "-f", str(file)) == expected
    assert text("-n", "6", "-f", "-", input=prompt + "\n") == expected
    assert text("-n", "6", input=prompt) == expected


def test_a_prompt_that_begins_with_a_dash(text: Any) -> None:
    assert text("-n", "2", "--raw", "--", "- one\n- two\n") != ""


def test_system_and_raw_change_what_is_computed(llamactl: Run, model_path: Path) -> None:
    counts = [
        document(llamactl, "-n", "1", *arguments, "Hi")["n_prompt_tokens"]
        for arguments in (("--raw",), (), ("--system", "You are a very helpful parrot called Polly."))
    ]
    assert counts == [1, counts[1], counts[2]]
    assert counts[1] > 20, "the template adds its own system message"
    plain = document(llamactl, "-n", "1", "--system", "A", "Hi")["n_prompt_tokens"]
    assert counts[2] > plain


def test_stop_strings_end_the_text_and_are_not_in_it(llamactl: Run, model_path: Path) -> None:
    prompt = ("--raw", "-n", "24", "1, 2, 3, 4, 5, 6, 7,")
    whole = document(llamactl, *prompt)["text"]
    assert ", 1" in whole
    found = document(llamactl, "-r", "nothing like it", "-r", ", 1", *prompt)
    assert found["text"] == whole[: whole.index(", 1")]
    assert (found["finish_reason"], found["stopped_by"]) == ("stop", ", 1")


def test_flag_before_environment_before_default(llamactl: Run, model_path: Path) -> None:
    env = {"LLAMA_ARG_CTX_SIZE": "1024", "LLAMA_ARG_BATCH": "64", "LLAMA_ARG_N_PREDICT": "1"}
    found = document(llamactl, "--raw", "-b", "32", "Hello", env={**env, "LLAMA_ARG_THREADS": "2"})
    in_force = {name: one["in_force"] for name, one in found["settings"].items()}
    assert in_force["ctx-size"] == 512, "-c 512 is on the command line"
    assert in_force["batch-size"] == 32
    assert in_force["threads"] == 1
    assert found["n_tokens"] == 1, "from the environment"
    assert in_force["ubatch-size"] == 32, "never more than the batch"


@pytest.mark.parametrize(
    ("variable", "value", "option"),
    [
        ("LLAMA_ARG_CACHE_TYPE_K", "q8_0", "cache-type-k"),
        ("LLAMA_ARG_LOAD_MODE", "none", "load-mode"),
        ("LLAMA_ARG_FLASH_ATTN", "off", "flash-attn"),
        ("LLAMA_ARG_THREADS_BATCH", "2", "threads-batch"),
        ("LLAMA_ARG_UBATCH", "16", "ubatch-size"),
    ],
)
def test_the_environment_reaches_the_engine(
    llamactl: Run, model_path: Path, variable: str, value: str, option: str
) -> None:
    found = document(llamactl, "-n", "1", "--raw", "Hello", env={variable: value})
    assert str(found["settings"][option]["in_force"]) == value


def test_a_bad_value_in_the_environment_is_named(llamactl: Run) -> None:
    result = llamactl(*BASE, "Hello", env={"LLAMA_ARG_BATCH": "many"})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "many" in result.stderr


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8_0", "q4_0", "iq4_nl"])
def test_cache_types_are_in_force(llamactl: Run, model_path: Path, kind: str) -> None:
    found = document(llamactl, "-ctk", kind, "-ctv", kind, "-n", "1", "--raw", "Hello")
    assert found["settings"]["cache-type-k"]["in_force"] == kind
    assert found["settings"]["cache-type-v"]["in_force"] == kind


def test_a_grammar_from_a_file_holds(text: Any, tmp_path: Path) -> None:
    file = tmp_path / "answer.gbnf"
    file.write_text('root ::= "yes" | "no"\n', encoding="utf-8")
    assert text("--grammar-file", str(file), "Is water wet?").strip() in {"yes", "no"}
    assert text("--grammar", 'root ::= [0-9] "-" [a-f]', "Write").strip()[1] == "-"


def test_seeds_repeat_and_differ(llamactl: Run, model_path: Path) -> None:
    def run(seed: str) -> str:
        return str(
            llamactl("run", "-q", "-c", "256", "-t", "1", "--raw", "-n", "12", "-s", seed, "Once").stdout
        )

    assert run("1") == run("1")
    assert len({run(seed) for seed in ("1", "2", "3")}) > 1


def test_a_context_that_fills_up_says_so(llamactl: Run, model_path: Path) -> None:
    result = llamactl(*BASE, "-c", "256", "--raw", "--ignore-eos", "-b", "256", "a b " * 120)
    assert result.returncode == 0
    assert "context full" in result.stderr
    found = document(llamactl, "-c", "256", "--raw", "--ignore-eos", "-n", "100", "a b " * 120)
    assert found["finish_reason"] == "context"
    assert found["n_prompt_tokens"] + found["n_tokens"] == 257, "the last token needs no place"


def test_a_prompt_in_many_batches_is_the_same_prompt(llamactl: Run, model_path: Path) -> None:
    prompt = ("--raw", "-n", "8", "The quick brown fox jumps over the lazy dog. " * 8 + "The quick")
    assert document(llamactl, "-b", "7", *prompt)["text"] == document(llamactl, *prompt)["text"]


def test_more_context_than_trained_is_a_warning(llamactl: Run, model_path: Path) -> None:
    result = llamactl("run", "-q", "-c", "8448", "-n", "1", "--raw", "--temp", "0", "Hello")
    assert result.returncode == 0
    assert result.stderr.count("\n") == result.stderr.count("warning: ")
    assert "8448 tokens is more than the model was trained with (8192)" in result.stderr


def test_verbose_shows_the_engines_log_on_stderr_only(llamactl: Run, text: Any) -> None:
    result = llamactl(*BASE, "-v", "-n", "4", "Say hello.")
    assert result.stdout == text("-n", "4", "Say hello.")
    assert "llama_model_loader" in result.stderr


@pytest.mark.parametrize(
    ("expectation", "shown"),
    [
        ("threads=2", "expected threads=2, in force is 1"),
        ("load-mode=none", "expected load-mode=none, in force is mmap"),
        ("gpu-layers=all", "expected gpu-layers=all, in force is 0 (the engine sees no GPU: "),
        ("cache-type-k=q8_0", "in force is f16"),
    ],
)
def test_an_expectation_that_fails_is_status_4(
    llamactl: Run, model_path: Path, expectation: str, shown: str
) -> None:
    result = llamactl(*BASE, "-q", "--expect", "ctx-size=512", "--expect", expectation, "Hello")
    assert (result.returncode, result.stdout) == (4, "")
    assert shown in result.stderr
    assert result.stderr.count("\n") == 1


def test_expectations_that_hold(text: Any) -> None:
    held = (
        "threads=1",
        "load-mode=mmap",
        "ctx-size=512",
        "cache-type-v=f16",
        "batch-size=512",
        "gpu-layers=0",
    )
    arguments = [word for one in held for word in ("--expect", one)]
    assert text(*arguments, "-n", "2", "--raw", "Hello")


@pytest.mark.parametrize("bad", ["threads", "threads=", "colour=red", "=4"])
def test_an_expectation_that_is_none(llamactl: Run, bad: str) -> None:
    result = llamactl(*BASE, "--expect", bad, "Hello")
    assert (result.returncode, result.stdout) == (2, "")
    assert "isn't NAME=VALUE" in result.stderr
