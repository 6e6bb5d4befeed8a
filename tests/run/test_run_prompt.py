"""What goes into the engine: prompts, escapes, stops, thoughts, schemas, and output under any locale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest
from model_kinds import TOKENS, model_of
from support import Run

from llamactl.cli.run.sampling import PARAMETER_OF, SamplingOptions
from llamactl.engine.sampling_parameters import DEFAULTS, sampler_names
from llamactl.render.document import schema

THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and m.reasoning_content %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
THOUGHT = 'root ::= "<think>" [\\n] [a-z]+ [\\n] "</think>" [\\n] [\\n] "yes"'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return model_of("llama", tmp_path_factory.mktemp("prompt"))


def document(llamactl: Run, *arguments: str) -> Any:
    """Run with ``--json`` and return the document."""
    done = llamactl("run", "-q", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_prompt_is_shown_and_nothing_is_computed(llamactl: Run, model: str) -> None:
    told = ("-m", model, "-sys", "Be brief.", "-p", r"one\ntwo")
    shown = llamactl("run", *told, "--show-prompt")
    assert shown.stdout == "[system] Be brief.\n[user] one\ntwo\n[assistant]\n"
    found = document(llamactl, *told, "--show-prompt")
    jsonschema.Draft202012Validator(schema("run-prompt")).validate(found)
    assert found["prompt"] == shown.stdout.removesuffix("\n")
    assert found["tokens"][0] == {"id": 1, "text": "<s>"}
    lines = llamactl("run", *told, "--tokens").stdout.splitlines()
    assert len(lines) == found["n_tokens"]
    assert lines[0].split() == ["1", "'<s>'"]


@pytest.mark.parametrize("option, expected", [((), "a\nb\tA"), (("--no-escape",), r"a\nb\t\x41")])
def test_escapes_in_prompts(
    llamactl: Run, model: str, tmp_path: Path, option: tuple[str, ...], expected: str
) -> None:
    text = r"a\nb\t\x41"
    (tmp_path / "prompt").write_text(text + "\n", encoding="utf-8")
    for way in ((text,), ("-p", text), ("-f", "prompt")):
        found = document(llamactl, "-m", model, "--raw", "--show-prompt", *option, *way)
        assert found["prompt"] == expected
    piped = llamactl("run", "-q", "-m", model, "--raw", "--show-prompt", "-f", "-", input=text)
    assert piped.stdout == text + "\n", "what comes through a pipe stays as it is"


def test_a_template_that_leaves_the_prompt_out_is_refused(llamactl: Run, model: str) -> None:
    told = ("run", "-m", model, "--chat-template", "{{ messages[0].role }}", "Hello")
    refused = llamactl(*told)
    assert refused.returncode == 2
    assert "the chat template leaves the prompt out. See what it makes with --show-prompt" in refused.stderr
    shown = llamactl(*told, "--show-prompt")
    assert (shown.returncode, shown.stdout) == (0, "user\n")
    assert "leaves the prompt out" in shown.stderr


def test_thoughts_come_apart_from_the_answer(llamactl: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "think.jinja").write_text(THINKING, encoding="utf-8")
    told = ("-m", model, "--chat-template-file", "think.jinja", "-n", "200", "-s", "1", "Hello")
    found = document(llamactl, "--grammar", THOUGHT, *told)
    assert found["text"].startswith("<think>")
    assert found["reasoning"].strip() in found["text"]
    if found["finish_reason"] == "stop":
        assert found["answer"].strip() == "yes"
    without = document(llamactl, "-m", model, "-n", "4", "--temp", "0", "Hello")
    assert (without["reasoning"], without["answer"]) == (None, without["text"])


def test_a_thought_is_ended_after_its_budget(llamactl: Run, model: str, tmp_path: Path) -> None:
    (tmp_path / "think.jinja").write_text(THINKING, encoding="utf-8")
    grammar = 'root ::= "<think>" [a-z]+ "</think>" [a-z]+'
    # Letters, not bytes: the budget looks for the tokens of the tag. And x again and again.
    wanted = {**dict.fromkeys("<think>/", 50), "x": 100}
    bias = [word for one, much in wanted.items() for word in ("-l", f"{TOKENS.index(one)}+{much}")]
    told = ("-m", model, "--chat-template-file", "think.jinja", "-n", "40", "-s", "1", *bias, "Hello")
    found = document(llamactl, "--grammar", grammar, "--reasoning-budget", "3", *told)
    assert found["samplers"][:2] == ["reasoning-budget", "grammar"]
    assert found["text"].partition("<think>")[2].partition("</think>")[0] == "xxx"
    warned = document(llamactl, "--reasoning-budget", "3", "-m", model, "-n", "2", "Hello")
    assert any("does nothing" in one for one in warned["warnings"])


def test_json_of_a_schema(llamactl: Run, model: str) -> None:
    found = document(llamactl, "-m", model, "-j", '{"enum": ["red", 7]}', "-n", "20", "-s", "1", "Colour?")
    assert json.loads(found["text"]) in ("red", 7)
    assert found["samplers"][0] == "grammar"


@pytest.mark.parametrize(
    "option, sentence",
    [
        (("--samplers", "top_k;top_q"), "sampler 'top_q' is unknown. Choose from: dry, top_k"),
        (("--sampler-seq", "kz"), "the letter 'z' is unknown"),
        (("-s", "4294967295"), "stands for a random one. Use 0 to 4294967294"),
        (("-j", "{"), "no grammar can be made of the JSON schema"),
        (("--chat-template-kwargs", "[1]"), "isn't a JSON object"),
        (("--reasoning", "perhaps"), "Use on, off or auto"),
        (("--reasoning-budget", "-2"), "Use 0 or more"),
        (("-j", "{}", "--grammar", "x"), "exclude each other"),
        (("--chat-template", "{% for"), "can't be rendered (parser: Parser Error: Unexpected EOF)"),
    ],
)
def test_what_is_refused(llamactl: Run, model: str, option: tuple[str, ...], sentence: str) -> None:
    refused = llamactl("run", "-m", model, *option, "Hello")
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_text_is_utf8_under_any_locale(llamactl: Run, model: str) -> None:
    grammar = 'root ::= "é🙂"'
    for env in (
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ):
        done = llamactl("run", "-q", "-m", model, "--grammar", grammar, "-n", "20", "Größe", env=env)
        assert (done.returncode, done.stdout) == (0, "é🙂\n")
        found = llamactl(
            "run", "-q", "--json", "-m", model, "--grammar", grammar, "-n", "20", "Größe", env=env
        )
        assert json.loads(found.stdout)["text"] == "é🙂"


def test_help_names_llama_cpps_defaults() -> None:
    """The numbers that help shows are the library's."""
    hints = get_type_hints(SamplingOptions, include_extras=True)
    shown = {PARAMETER_OF.get(name, name): hint.__metadata__[0] for name, hint in hints.items()}
    assert {name: float(shown[name].show_default) for name in DEFAULTS} == DEFAULTS
    assert all(name in str(shown["samplers"].help) for name in sampler_names())
