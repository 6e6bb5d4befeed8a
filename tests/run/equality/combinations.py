"""What is compared: models of all kinds, templates, sampling, escapes, stops, penalties, grammars, context sizes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

LOOP = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TEMPLATES = {
    "loop": LOOP,
    "bos": "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}[assistant]",
    "parts": "{% for m in messages %}{{ m.role | capitalize }}: {% for p in m.content %}{% if p.type == 'text' %}"
             "{{ p.text }}{% endif %}{% endfor %}\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}",
    "no system": "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + LOOP,
    "drops system": "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}\n{% endif %}{% endfor %}A:",
    "generation": LOOP + "{% generation %}{% endgeneration %}",
    "tojson": "{% for m in messages %}{{ m | tojson(ensure_ascii=False) }}\n{% endfor %}A:",
    "tools": "{% if tools is defined and tools %}T{% endif %}{% if tools is not none %}N{% endif %}" + LOOP,
    "thinking": LOOP + "{% if enable_thinking %}<think>{% endif %}",
    "thinking off": LOOP + "{% if enable_thinking is defined and enable_thinking is false %}OFF{% endif %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ m.content.strip() }}"
                 "{% endfor %}{{ ns.n }}",
    "macro": "{%- macro show(x) -%}<{{ x | trim }}>{%- endmacro -%}"
             "{% for m in messages %}{{ show(m.content) }}{% endfor %}",
    "slice": "{% set rest = messages[1:] if messages[0].role == 'system' else messages %}{% for m in rest %}"
             "{{ m.content }}{% endfor %}{{ messages[0].content }}",
    "chatml": "chatml",
}  # fmt: skip
PROMPTS = (
    "Hello",
    r"one\ntwo\t\x41\\n \q",
    "Größe 🙂 <s> </s> x",
    "  spaces  and\nlines  ",
    "a b a b a b a b",
)
GRAMMAR = 'root ::= [a-z]+ ("," [a-z]+)*'
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a"]}'
SAMPLING: dict[str, tuple[str, ...]] = {
    "greedy": ("--temp", "0"),
    "defaults": ("-s", "1"),
    "another seed": ("-s", "4294967294"),
    "hot": ("-s", "2", "--temp", "1.7", "--top-k", "0", "--top-p", "1", "--min-p", "0"),
    "top-k": ("-s", "3", "--top-k", "5"),
    "top-p": ("-s", "4", "--top-p", "0.5"),
    "min-p": ("-s", "5", "--min-p", "0.4"),
    "typical": ("-s", "6", "--typical", "0.6"),
    "top-n-sigma": ("-s", "7", "--top-nsigma", "1.5"),
    "xtc": ("-s", "8", "--xtc-probability", "0.7", "--xtc-threshold", "0.02"),
    "dynamic": ("-s", "9", "--dynatemp-range", "0.5", "--dynatemp-exp", "1.3"),
    "mirostat": ("-s", "10", "--mirostat", "1", "--mirostat-ent", "4"),
    "mirostat 2": ("-s", "11", "--mirostat", "2", "--mirostat-lr", "0.2"),
    "repeat": ("-s", "12", "--repeat-penalty", "1.4", "--repeat-last-n", "32"),
    "presence": ("--temp", "0", "--presence-penalty", "1.5"),
    "frequency": ("--temp", "0", "--frequency-penalty", "0.7", "--repeat-last-n", "256"),
    "dry": ("--temp", "0", "--dry-multiplier", "1.5", "--dry-allowed-length", "1"),
    "dry breakers": ("--temp", "0", "--dry-multiplier", "1.5", "--dry-sequence-breaker", r"\n"),
    "no breakers": ("--temp", "0", "--dry-multiplier", "1.5", "--dry-sequence-breaker", "none"),
    "order": ("-s", "13", "--samplers", "temperature;top_k;min-p"),
    "letters": ("-s", "14", "--sampler-seq", "ktp"),
    "adaptive": ("-s", "15", "--samplers", "top_k;adaptive_p", "--adaptive-target", "0.3"),
    "bias": ("--temp", "0", "-l", "300+20", "-l", "301-5"),
    "ignore eos": ("-s", "16", "--ignore-eos", "--temp", "1.5", "--top-k", "0"),
    "grammar": ("-s", "17", "--grammar", GRAMMAR),
    "schema": ("-s", "18", "-j", SCHEMA),
}
KINDS = ("llama", "qwen3", "gemma3", "moe", "mamba", "hybrid")


@dataclass(frozen=True)
class Combination:
    """One call of both programs.

    Attributes:
        name: Of the test.
        kind: The model: a key of ``model_kinds.KINDS``.
        prompt: The prompt.
        options: What both are told.
        template: A key of :data:`TEMPLATES`; ``None`` for plain completion.
        system: The system message.
    """

    name: str
    kind: str
    prompt: str
    options: tuple[str, ...]
    template: str | None = None
    system: str = ""


def combinations(kinds: list[str]) -> list[Combination]:
    """Return all of them for models of these kinds."""
    rows = []
    for kind, (way, options) in itertools.product(kinds, SAMPLING.items()):
        rows.append(Combination(f"{kind}: {way}", kind, PROMPTS[4], options))
    for (name, prompt), system in itertools.product(itertools.product(TEMPLATES, PROMPTS), ("", "Be brief.")):
        label = f"template {name}: {prompt!r}{' with system' if system else ''}"
        rows.append(Combination(label, kinds[0], prompt, SAMPLING["greedy"], name, system))
    for prompt, escapes in itertools.product(PROMPTS, ((), ("--no-escape",))):
        rows.append(
            Combination(f"raw: {prompt!r} {escapes}", kinds[0], prompt, (*SAMPLING["greedy"], *escapes))
        )
    for size, kind in itertools.product((256, 300, 512), kinds):
        rows.append(
            Combination(f"{kind}: context of {size}", kind, "a b " * 20, ("-s", "1", "-c", str(size)))
        )
    return rows


SAMPLE = (
    "llama: defaults", "llama: dry", "llama: repeat", "llama: ignore eos", "llama: schema", "llama: order",
    "template parts: 'Hello' with system", "template drops system: 'Hello' with system",
    "template no system: 'Hello' with system", "template bos: 'Größe 🙂 <s> </s> x'",
    r"template tojson: 'one\\ntwo\\t\\x41\\\\n \\q' with system", r"raw: 'one\\ntwo\\t\\x41\\\\n \\q' ()",
)  # fmt: skip
"""What every run of the tests compares; LLAMACTL_EQUALITY=all compares the rest too (make equality)."""
