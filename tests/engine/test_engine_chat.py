"""A conversation becomes a prompt as llama.cpp makes it, and what a model writes has thoughts and an answer."""

from __future__ import annotations

import pytest

from llamactl.engine import Model, Template, render, template_of
from llamactl.errors import UsageError

USER = {"role": "user", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}
LOOP = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' and m.reasoning_content %}"
    "<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def test_the_models_own_template(loaded_model: Model) -> None:
    template = template_of(loaded_model)
    assert template is not None
    assert render(template, [SYSTEM, USER]).text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    "source, expected",
    [
        # Content as a list of parts, as templates of models that see want it.
        (
            "{% for m in messages %}{{ m.role }}: {% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}"
            "{% endif %}{% endfor %};{% endfor %}",
            "system: Be brief.;user: Hello;",
        ),
        # No system role: one refuses it, one passes over it.
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + LOOP, "[user]Be brief.\nHello"),
        (
            "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}{% endif %}{% endfor %}",
            "U:Be brief.\nHello",
        ),
        # The mark of transformers' loss mask.
        (LOOP + "{% generation %}x{% endgeneration %}", "[system]Be brief.[user]Hellox"),
        (
            "{% for m in messages %}{{ m | tojson(ensure_ascii=False) }}{% endfor %}",
            '{"role": "system", "content": "Be brief."}{"role": "user", "content": "Hello"}',
        ),
        (LOOP + "{% if enable_thinking %}<think>{% endif %}", "[system]Be brief.[user]Hello<think>"),
        ("", "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"),
    ],
    ids=["parts", "refuses system", "drops system", "generation", "tojson", "thinking", "empty"],
)  # fmt: skip
def test_templates_as_people_meet_them(source: str, expected: str) -> None:
    assert render(Template(source), [SYSTEM, USER]).text == expected


def test_bos_that_the_tokenizer_adds_is_not_written_twice() -> None:
    source = "{{ bos_token }}" + LOOP
    assert render(Template(source, bos="<s>"), [USER]).text == "<s>[user]Hello"
    assert render(Template(source, bos="<s>", adds_bos=True), [USER]).text == "[user]Hello"


def test_arguments_and_bytes_reach_the_template() -> None:
    template = Template(LOOP + "{{ style }}{{ list | length }}", arguments={"style": "é", "list": [1, 2]})
    assert render(template, [{"role": "user", "content": "a\0\udc80☃"}]).text == "[user]a\0\udc80☃é2"


def test_thoughts_are_told_from_the_answer() -> None:
    prompt = render(Template(THINKING), [USER])
    assert (prompt.thinking_start, prompt.thinking_ends) == ("<think>", ("</think>",))
    reply = prompt.split("<think>\nhm\n</think>\n\nFour.")
    assert (reply.reasoning.strip(), reply.answer.strip()) == ("hm", "Four.")
    cut = prompt.split("<think>\nhm", partial=True)
    assert (cut.reasoning.strip(), cut.answer) == ("hm", "")
    assert prompt.split("Four.").answer == "Four."
    off = render(Template(THINKING, thinking=False, arguments={"enable_thinking": False}), [USER])
    assert off.text.endswith("<think>\n\n</think>\n\n")


def test_a_template_may_refuse() -> None:
    with pytest.raises(UsageError, match="refuses this conversation: no users"):
        render(Template("{{ raise_exception('no users') }}"), [USER])
