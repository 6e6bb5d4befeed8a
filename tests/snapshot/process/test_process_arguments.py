"""Prompts of ``llamactl run`` aren't shown, however it was started."""

from __future__ import annotations

import pytest

from llamactl.cli.app import command
from llamactl.process.arguments import HIDDEN, TEXTS, VALUES, without_prompts

SECRET = "tell me the secret"


@pytest.mark.parametrize(
    "words",
    [
        ["llamactl", "run", SECRET],
        ["/usr/bin/python", "/opt/bin/llamactl", "run", "-n", "8", SECRET],
        ["python", "-m", "llamactl", "run", "--", SECRET, "--temp"],
        ["timeout", "9", "llamactl", "run", "--system", SECRET, "--raw", SECRET],
        ["llamactl", "run", f"--system={SECRET}", f"-r={SECRET}", "--stop", SECRET, "x"],
        ["llamactl", "run", "-sys", f"-{SECRET}", "--grammar", SECRET],
        [
            "llamactl",
            "run",
            "-p",
            SECRET,
            f"--prompt={SECRET}",
            "--json-schema",
            SECRET,
            f"--chat-template={SECRET}",
        ],
        [
            "llamactl",
            "run",
            "--reasoning-budget-message",
            SECRET,
            "--dry-sequence-breaker",
            SECRET,
            "-j",
            SECRET,
        ],
        ["llamactl", "trace", "-o", "x", "--", "run", SECRET],
        ["llamactl", "trace", "run", SECRET],
        ["python", "-c", "from llamactl.cli.main import main; main()", "run", SECRET],
        ["python", "/x/llamactl/__main__.py", "run", f"--unknown={SECRET}", f"-{SECRET}"],
        ["sh", "-c", f"cd /; llamactl run '{SECRET}'"],
        ["bash", "-lc", f"python3 -m llamactl run\n'{SECRET}'"],
    ],
)
def test_no_text_of_the_users_is_shown(words: list[str]) -> None:
    shown = without_prompts(words)
    assert SECRET not in " ".join(shown)
    assert HIDDEN in shown or f"--system={HIDDEN}" in shown


@pytest.mark.parametrize("letter", ["-p", "-r", "-j"])
def test_a_text_in_one_word_with_its_option_is_not_shown(letter: str) -> None:
    assert without_prompts(["llamactl", "run", f"{letter}swordfish", "-jf", "a.json", "-rea", "off"]) == (
        "llamactl", "run", HIDDEN, "-jf", "a.json", "-rea", "off",
    )  # fmt: skip
    assert without_prompts(["llamactl", "run", letter, "--swordfish"])[-1] == HIDDEN


@pytest.mark.parametrize(
    "words",
    [
        ["llamactl", "run", "-m", "model.gguf", "-n", "8", "--temp=0", "-t", "2", "--raw", "-n32", "-f", "-"],
        [
            "llamactl",
            "run",
            "--lora",
            "a.gguf",
            "--override-kv",
            "a=int:1",
            "--device",
            "CUDA0",
            "-Cr",
            "0-3",
        ],
        ["python", "app.py", "run", "fast"],
        ["/home/me/llamactl/.venv/bin/python", "app.py", "run", "fast"],
        ["llamactl", "inspect", "1"],
        ["sh", "-c", "run-parts /etc/llamactl"],
        [],
    ],
)
def test_the_rest_is(words: list[str]) -> None:
    assert without_prompts(words) == tuple(words)


def test_every_option_of_run_that_takes_a_value_is_told_apart() -> None:
    taking = {
        name
        for parameter in command("run").params
        for name in parameter.opts
        if not getattr(parameter, "is_flag", False)
    }
    assert {name for name in taking if name.startswith("-")} == TEXTS | VALUES
