"""The same model, prompt and options give the same prompt tokens and the same text as in llama.cpp's own program.

Differences that are wanted, and so not compared:

* A stop string ends the text before it; llama-completion shows it, looks into the prompt for it, and compares the
  last 32 tokens only.
* A model without a chat template is refused unless ``--raw`` says so; llama-completion continues the prompt.
* A template that leaves out what the user wrote is refused; llama-completion goes on without it.
* ``--seed 4294967295`` is refused; llama-completion draws a random one.
* Bytes that are no UTF-8 come as U+FFFD. llama-completion shows no NUL.
* The last cell of the context is used too: one token more than llama-completion's where it is full.
* A prompt whose last token is an end token is continued; llama-completion ends before the first token.
* What stdin brings stays as it is; llama-completion doesn't read it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from combinations import KINDS, SAMPLE, TEMPLATES, Combination, combinations
from model_kinds import model_of
from support import REPOSITORY, Run, clean_environment, on_one_cpu

ALL = os.environ.get("LLAMACTL_EQUALITY") == "all"
ROWS = [row for row in combinations(list(KINDS)) if ALL or row.name in SAMPLE]
COMMON = ("-n", "24", "-t", "2")
TOKEN = re.compile(r"^\S+ I +(\d+) -> '", re.MULTILINE)


@pytest.fixture(scope="session")
def completion() -> Path:
    found = sorted(REPOSITORY.glob("build/*/peers/completion/llama-completion"))
    if named := os.environ.get("LLAMACTL_TEST_LLAMA_COMPLETION"):
        found = [Path(named)]
    return found[0] if found else pytest.skip("llama-completion isn't built: run make peers")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("equality")


def arguments(row: Combination, folder: Path) -> list[str]:
    """Return what both programs are told."""
    told = ["-m", model_of(row.kind, folder), "-p", row.prompt, *COMMON]
    if "-c" not in row.options:
        told += ["-c", "512"]
    if row.template is not None:
        template = folder / f"{row.template.replace(' ', '-')}.jinja"
        template.write_text(TEMPLATES[row.template], encoding="utf-8")
        told += ["--chat-template-file", str(template)]
    return [*told, *(["-sys", row.system] if row.system else []), *row.options]


def theirs(completion: Path, row: Combination, folder: Path) -> tuple[list[int], str]:
    """Return the tokens of the prompt and the text of llama-completion."""
    way = ("-no-cnv",) if row.template is None else ("-cnv", "-st", "--jinja")
    done = subprocess.run(
        [completion, *arguments(row, folder), *way, "--verbose-prompt", "--no-display-prompt", "--no-warmup",
         "--simple-io"],
        env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120,
        preexec_fn=on_one_cpu,
    )  # fmt: skip
    log = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, log[-2000:]
    _, _, listed = log.partition("number of tokens in prompt = ")
    count = int(listed.split(None, 1)[0])
    tokens = [int(token) for token in TOKEN.findall(listed)[:count]]
    text = done.stdout.decode("utf-8", "replace")
    return tokens, text.removesuffix("\n\n").removesuffix(" [end of text]\n")


def ours(llamactl: Run, row: Combination, folder: Path) -> tuple[list[int], str]:
    """Return the same of ``llamactl run``."""
    told = [*arguments(row, folder), *(["--raw"] if row.template is None else []), "-q", "--json"]
    found: list[Any] = []
    for more in (("--tokens",), ()):
        done = llamactl("run", *told, *more)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0]["n_tokens"] == found[1]["n_prompt_tokens"]
    return [token["id"] for token in found[0]["tokens"]], str(found[1]["text"]).replace("\0", "")


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_as_llama_completion(llamactl: Run, completion: Path, folder: Path, row: Combination) -> None:
    mine = ours(llamactl, row, folder)
    # It writes through a thread of its log, and on a loaded machine ends before that has written all.
    for _ in range(10):
        other = theirs(completion, row, folder)
        if mine == other:
            break
    assert mine == other


def test_there_are_enough() -> None:
    assert len(combinations(list(KINDS))) >= 300
    assert {row.name for row in combinations(list(KINDS))} >= set(SAMPLE)
