"""A chat template comes from a file: it may loop for ever or want all memory, and must end all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from llamactl.engine import guard
from llamactl.errors import UsageError
from llamactl.run import prompt, template
from llamactl.run.request import Request
from llamactl.run.template import Renderer

# 10^15 rounds without a character of output.
ENDLESS = "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}" + (
    "{% endfor %}" * 3
)
REQUEST = Request(Path("model.gguf"), "Hello")
GREEDY = {
    "one string": "{{ 'a' * 4000000000 }}",
    "an indent": "{{ 'x' | indent(4000000000) }}",
    "a list": "{{ range(100000000000) | list }}",
    "a longer list": "{% set ns = namespace(x=['a']) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling": "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
}
# What reached into Python once; llama.cpp's Jinja has nothing to reach into.
HOSTILE = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ raise_exception.__globals__['os'].system('true') }}",
    "{{ strftime_now.__closure__ }}{{ (strftime_now|attr('__globals__')).x }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}{{ messages.append(1) }}",
    "{{ '%s'|format(messages.__class__.__base__) }}",
    "{% include '/etc/passwd' %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for",
    "{{ none() }}",
    "{{" + "(" * 100_000,
    "{{ messages[99].role }}{{ 1/0 }}",
]


@pytest.fixture(autouse=True)
def no_child_is_left() -> Any:
    """Every test ends with the children it began with."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    assert {child.pid for child in psutil.Process().children()} <= before


def model(source: str) -> Any:
    """Return what rendering takes of a model."""
    vocabulary = SimpleNamespace(bos=None, eos=None, adds_bos=False, adds_eos=False)
    return SimpleNamespace(chat_template=source, vocabulary=vocabulary)


def rendered(source: str, request: Request = REQUEST) -> str:
    """Return what a template makes of a request."""
    with Renderer() as renderer:
        return prompt.chat_prompt(model(source), request, renderer).text


def test_a_template_that_loops_in_silence_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "TEMPLATE_LIMIT_S", 0.3)
    begun = monotonic()
    with pytest.raises(UsageError, match=r"can't be rendered \(it takes more than 0.3 s\). Use --raw"):
        rendered(ENDLESS)
    assert 0.3 <= monotonic() - begun < 30


@pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
def test_a_template_that_wants_gigabytes_is_refused(source: str) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(UsageError, match="more than 256 MiB of memory"):
        rendered(source)
    assert psutil.Process().memory_info().rss - before < 64 * 2**20


def test_a_huge_template_is_not_even_parsed() -> None:
    with pytest.raises(UsageError, match="67,108,864 characters, more than 1,048,576"):
        rendered("{" * 2**26)


def test_ctrl_c_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), guard.interruptible():
        signal.raise_signal(signal.SIGINT)
        rendered(ENDLESS)


def test_a_usual_template_is_rendered_as_it_is() -> None:
    source = "{% for message in messages %}{{ message.content }}{% endfor %}"
    request = Request(Path("model.gguf"), "Hello \N{SNOWMAN} \x00 \udc80")
    assert rendered(source, request) == "Hello \N{SNOWMAN} \x00 \udc80"


def test_what_the_template_itself_refuses_stays_its_own_sentence() -> None:
    with pytest.raises(UsageError, match=r"refuses this conversation: no users\. Use --raw"):
        rendered("{{ raise_exception('no users') }}")


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_and_broken_templates_are_errors_or_harmless_text(source: str) -> None:
    try:
        assert rendered(source) in {"", "%s", "inf"}
    except UsageError as error:
        assert "--raw" in error.hint
        assert "std::exception" not in error.message
        assert len(error.message) < 300


def test_one_child_renders_many_and_a_failure_is_only_of_its_template() -> None:
    with Renderer() as renderer:
        for source, expected in (("a{{ 1 + 1 }}", "a2"), ("{{ none() }}", None), ("b", "b")):
            if expected is None:
                with pytest.raises(UsageError, match="got None, line 1, column 8"):
                    prompt.chat_prompt(model(source), REQUEST, renderer)
            else:
                assert prompt.chat_prompt(model(source), REQUEST, renderer).text == expected


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    program = "import os, signal; from llamactl.run.template import Renderer; r = Renderer()\n"
    program += "print(r._child._pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    # Its stdout was the pipe that subprocess read to its end: nobody holds it any more.
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=60)
