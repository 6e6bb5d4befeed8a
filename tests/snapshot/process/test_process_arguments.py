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


@pytest.mark.parametrize(
    "words",
    [
        ["llamactl", "run", "-m", "model.gguf", "-n", "8", "--temp=0", "-t", "2", "--raw", "-n32", "-f", "-"],
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
