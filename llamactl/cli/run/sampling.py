"""Options of sampling, with llama.cpp's names, and what they ask of the engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

if TYPE_CHECKING:
    from llamactl.engine import SamplingParameters

BIAS = re.compile(r"(\d+)([+-](?:\d+(?:\.\d*)?|\.\d+|inf))", re.IGNORECASE)
PARAMETER_OF = {
    "temp": "temperature", "dynatemp_exp": "dynatemp_exponent", "typical": "typical_p",
    "mirostat_ent": "mirostat_tau", "mirostat_lr": "mirostat_eta", "dry_sequence_breaker": "dry_breakers",
}  # fmt: skip
"""Fields of the options that have another name in the engine's parameters."""


def _number(*names: str, default: str, text: str, variable: str | None = None) -> Any:
    """Return an option that is as the model's file says, else llama.cpp's default, unless it is given."""
    return Option(*names, envvar=variable, show_default=default, help=text)


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to choose the next token. What isn't given is as the model's file says, else llama.cpp's default."""

    temp: Annotated[
        float | None,
        _number("--temp", "--temperature", variable="LLAMA_ARG_TEMPERATURE", default="0.8",
                text="0 takes the likeliest token."),
    ] = None  # fmt: skip
    seed: Annotated[
        int | None,
        Option("-s", "--seed", metavar="N", help="Seed of the random numbers; random without, or with -1."),
    ] = None
    samplers: Annotated[
        str | None,
        Option("--samplers", metavar="NAME;…",
               help="What thins the candidates out, in this order: penalties, dry, top_n_sigma, top_k, typ_p, "
               "top_p, min_p, xtc, temperature (this is the default), infill, adaptive_p."),
    ] = None  # fmt: skip
    sampler_seq: Annotated[
        str | None,
        Option(
            "--sampler-seq", "--sampling-seq", metavar="LETTERS", help="The same, a letter each: edskypmxt."
        ),
    ] = None
    top_k: Annotated[
        int | None,
        _number(
            "--top-k", variable="LLAMA_ARG_TOP_K", default="40", text="Keep the k likeliest; 0 keeps all."
        ),
    ] = None
    top_p: Annotated[
        float | None,
        _number("--top-p", variable="LLAMA_ARG_TOP_P", default="0.95",
                text="Keep the likeliest up to this share; 1 keeps all."),
    ] = None  # fmt: skip
    min_p: Annotated[
        float | None,
        _number("--min-p", variable="LLAMA_ARG_MIN_P", default="0.05",
                text="Keep what has this share of the likeliest; 0 is off."),
    ] = None  # fmt: skip
    typical: Annotated[
        float | None,
        _number("--typical", "--typical-p", default="1.0", text="Locally typical sampling; 1 is off."),
    ] = None
    top_n_sigma: Annotated[
        float | None,
        _number("--top-nsigma", "--top-n-sigma", default="-1.0", text="Top-nσ; negative is off."),
    ] = None
    xtc_probability: Annotated[
        float | None, _number("--xtc-probability", default="0.0", text="Chance to cut top choices; 0 is off.")
    ] = None
    xtc_threshold: Annotated[
        float | None, _number("--xtc-threshold", default="0.1", text="Least probability of what XTC cuts.")
    ] = None
    dynatemp_range: Annotated[
        float | None, _number("--dynatemp-range", default="0.0", text="Dynamic temperature; 0 is off.")
    ] = None
    dynatemp_exp: Annotated[
        float | None, _number("--dynatemp-exp", default="1.0", text="Exponent of it.")
    ] = None
    adaptive_target: Annotated[
        float | None,
        _number("--adaptive-target", default="-1.0",
                text="Choose tokens near this probability (with adaptive_p in --samplers); negative is off."),
    ] = None  # fmt: skip
    adaptive_decay: Annotated[
        float | None, _number("--adaptive-decay", default="0.9", text="How slowly that adapts, 0 to 0.99.")
    ] = None
    repeat_last_n: Annotated[
        int | None,
        _number("--repeat-last-n", default="64", text="Tokens that the penalties look at, the prompt's too."),
    ] = None
    repeat_penalty: Annotated[
        float | None,
        _number("--repeat-penalty", variable="LLAMA_ARG_REPEAT_PENALTY", default="1.0", text="1 is off."),
    ] = None
    presence_penalty: Annotated[
        float | None,
        _number("--presence-penalty", variable="LLAMA_ARG_PRESENCE_PENALTY", default="0.0", text="0 is off."),
    ] = None
    frequency_penalty: Annotated[
        float | None,
        _number(
            "--frequency-penalty", variable="LLAMA_ARG_FREQUENCY_PENALTY", default="0.0", text="0 is off."
        ),
    ] = None
    dry_multiplier: Annotated[
        float | None, _number("--dry-multiplier", default="0.0", text="DRY penalty; 0 is off.")
    ] = None
    dry_base: Annotated[float | None, _number("--dry-base", default="1.75", text="Base of DRY.")] = None
    dry_allowed_length: Annotated[
        int | None, _number("--dry-allowed-length", default="2", text="Repetitions DRY leaves alone.")
    ] = None
    dry_penalty_last_n: Annotated[
        int | None, _number("--dry-penalty-last-n", default="64", text="Tokens that DRY looks at.")
    ] = None
    dry_sequence_breaker: Annotated[
        list[str],
        Option("--dry-sequence-breaker", metavar="TEXT",
               help=r"Ends a repetition for DRY, in place of \n : \" *; none for nothing. Repeatable."),
    ] = field(default_factory=list)  # fmt: skip
    mirostat: Annotated[
        int | None, _number("--mirostat", default="0", text="0 is off; 1 or 2 is its version.")
    ] = None
    mirostat_ent: Annotated[
        float | None, _number("--mirostat-ent", default="5.0", text="Its target entropy.")
    ] = None
    mirostat_lr: Annotated[
        float | None, _number("--mirostat-lr", default="0.1", text="Its learning rate.")
    ] = None
    logit_bias: Annotated[
        list[str], Option("-l", "--logit-bias", metavar="TOKEN(+/-)BIAS", help="Such as 15043+1. Repeatable.")
    ] = field(default_factory=list)
    ignore_eos: Annotated[bool, Option("--ignore-eos", help="Never choose the model's end token.")] = False
    grammar: Annotated[
        str, Option("--grammar", metavar="GBNF", help="A grammar that the text must follow.")
    ] = ""
    grammar_file: Annotated[
        str | None, Option("--grammar-file", metavar="FILE", help="The same, from a file.")
    ] = None
    json_schema: Annotated[
        str,
        Option(
            "-j", "--json-schema", metavar="SCHEMA", help="The text is JSON of this schema; {} for any JSON."
        ),
    ] = ""
    json_schema_file: Annotated[
        str | None, Option("-jf", "--json-schema-file", metavar="FILE", help="The same, from a file.")
    ] = None


def sampling_parameters(options: SamplingOptions, *, escapes: bool = True) -> SamplingParameters:
    r"""Return how to choose tokens, from options.

    Args:
        options: As they were given.
        escapes: Read ``\n`` and such in texts as what they name.

    Raises:
        UsageError: A value is out of range, or options exclude each other.
    """
    from llamactl.engine import SamplingParameters
    from llamactl.engine.sampling_parameters import DEFAULTS

    fields = {PARAMETER_OF.get(name, name): getattr(options, name) for name in options.__slots__}
    numbers = {name: value for name, value in fields.items() if name in DEFAULTS}
    parameters = SamplingParameters(
        **numbers,
        seed=None if options.seed == -1 else options.seed,
        samplers=_samplers(options),
        dry_breakers=_breakers(options.dry_sequence_breaker, escapes),
        logit_bias=tuple(_bias(text) for text in options.logit_bias),
        ignore_eos=options.ignore_eos,
        grammar=_grammar(options),
    )
    parameters.check()
    return parameters


def _samplers(options: SamplingOptions) -> tuple[str, ...] | None:
    from llamactl.engine.sampling_parameters import sampler_names
    from llamactl.errors import UsageError

    if options.samplers is not None and options.sampler_seq is not None:
        raise UsageError("--samplers and --sampler-seq exclude each other", "Give one of them.")
    if options.samplers is not None:
        return tuple(filter(None, options.samplers.split(";")))
    if options.sampler_seq is None:
        return None
    names = {letter: name for name, letter in sampler_names().items()}
    for letter in options.sampler_seq:
        if letter not in names:
            known = ", ".join(f"{each} ({name})" for each, name in names.items())
            raise UsageError(f"--sampler-seq: the letter {letter!r} is unknown", f"Choose from: {known}.")
    return tuple(names[letter] for letter in options.sampler_seq)


def _breakers(texts: list[str], escapes: bool) -> tuple[str, ...] | None:
    from llamactl.engine import process_escapes

    if not texts:
        return None
    # As llama.cpp's programs: "none" takes away those before it.
    after = texts[len(texts) - texts[::-1].index("none") :] if "none" in texts else texts
    return tuple(process_escapes(text) if escapes else text for text in after)


def _bias(text: str) -> tuple[int, float]:
    from llamactl.errors import UsageError

    match = BIAS.fullmatch(text)
    if not match:
        raise UsageError(
            f"--logit-bias {text!r} isn't a token and a signed bias", "Write such as 15043+1 or 15043-inf."
        )
    return int(match[1]), float(match[2])


def _grammar(options: SamplingOptions) -> str:
    from llamactl.cli.run.request import read_text
    from llamactl.engine import schema_to_grammar
    from llamactl.errors import UsageError

    given = {
        "--grammar": options.grammar, "--grammar-file": options.grammar_file,
        "--json-schema": options.json_schema, "--json-schema-file": options.json_schema_file,
    }  # fmt: skip
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other", "Give one of them.")
    if options.json_schema or options.json_schema_file:
        path = options.json_schema_file
        return schema_to_grammar(read_text(path, "--json-schema-file") if path else options.json_schema)
    path = options.grammar_file
    return read_text(path, "--grammar-file") if path else options.grammar
