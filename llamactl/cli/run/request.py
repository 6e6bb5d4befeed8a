"""From options to what the rooms take. Imports the engine: call it inside a command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from llamactl.cli.run.options import ContextOptions, ModelOptions, SamplingOptions
from llamactl.engine import ContextParameters, ModelParameters, SamplingParameters
from llamactl.engine.parameters import MAX_THREADS, switch
from llamactl.errors import UsageError
from llamactl.process.cpu_budget import cpu_budget

BIAS = re.compile(r"(\d+)([+-](?:\d+(?:\.\d*)?|\.\d+|inf))", re.IGNORECASE)


def model_parameters(options: ModelOptions, **more: Any) -> ModelParameters:
    """Return how to load, from options.

    Args:
        options: The usual ones.
        more: Further fields, as :func:`llamactl.cli.run.engine_request.placement` makes them.
    """
    parameters = ModelParameters(
        load_mode=options.load_mode,
        n_gpu_layers=_gpu_layers(options.gpu_layers),
        split_mode=options.split_mode,
        main_gpu=options.main_gpu,
        check_tensors=options.check_tensors,
        **more,
    )
    parameters.native()
    return parameters


def _gpu_layers(text: str) -> int:
    if text in {"auto", "all"}:
        return -1
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--gpu-layers {text!r} is neither a number nor auto nor all") from None


def context_parameters(options: ContextOptions, **more: Any) -> ContextParameters:
    """Return sizes, threads and types, from options.

    Threads without a value, or below 1 as llama.cpp's programs take it, come from the CPU budget.

    Args:
        options: The usual ones.
        more: Further fields, as :func:`llamactl.cli.run.engine_request.rope` makes them.
    """
    for name, least in (
        ("ctx_size", 0),
        ("batch_size", 1),
        ("ubatch_size", 0),
        ("threads", -1),
        ("threads_batch", -1),
    ):
        value = getattr(options, name)
        if value is not None and not least <= value < 2**31:
            raise UsageError(f"--{name.replace('_', '-')} {value} is out of range", f"Use {least} or more.")
        if value is not None and name.startswith("threads") and value > MAX_THREADS:
            raise UsageError(
                f"--{name.replace('_', '-')} {value} is out of range", f"Use {MAX_THREADS} at most."
            )
    threads = max(options.threads or 0, 0) or cpu_budget().threads
    parameters = ContextParameters(
        n_ctx=options.ctx_size,
        n_batch=options.batch_size,
        n_ubatch=min(options.ubatch_size or options.batch_size, options.batch_size),
        n_threads=threads,
        n_threads_batch=max(options.threads_batch or 0, 0) or threads,
        type_k=options.cache_type_k,
        type_v=options.cache_type_v,
        flash_attention=switch(options.flash_attn),
        offload_kqv=options.kv_offload,
        **more,
    )
    parameters.native()
    return parameters


def sampling_parameters(options: SamplingOptions) -> SamplingParameters:
    """Return how to choose tokens, from options."""
    if options.mirostat not in {0, 1, 2}:
        raise UsageError(f"--mirostat {options.mirostat} is unknown", "Use 0, 1 or 2.")
    if options.seed is not None and not -1 <= options.seed < 2**32:
        raise UsageError(
            f"--seed {options.seed} is out of range", "Use 0 to 4294967295, or -1 for a random one."
        )
    return SamplingParameters(
        seed=None if options.seed == -1 else options.seed,
        temperature=options.temp,
        dynatemp_range=options.dynatemp_range,
        dynatemp_exponent=options.dynatemp_exp,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        typical_p=options.typical,
        top_n_sigma=options.top_n_sigma,
        xtc_probability=options.xtc_probability,
        xtc_threshold=options.xtc_threshold,
        repeat_last_n=options.repeat_last_n,
        repeat_penalty=options.repeat_penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        dry_multiplier=options.dry_multiplier,
        dry_base=options.dry_base,
        dry_allowed_length=options.dry_allowed_length,
        dry_penalty_last_n=options.dry_penalty_last_n,
        mirostat=options.mirostat,
        mirostat_tau=options.mirostat_ent,
        mirostat_eta=options.mirostat_lr,
        logit_bias=tuple(_bias(text) for text in options.logit_bias),
        grammar=_grammar(options),
    )


def _bias(text: str) -> tuple[int, float]:
    match = BIAS.fullmatch(text)
    if not match:
        raise UsageError(
            f"--logit-bias {text!r} isn't a token and a signed bias", "Write such as 15043+1 or 15043-inf."
        )
    return int(match[1]), float(match[2])


def _grammar(options: SamplingOptions) -> str:
    if options.grammar and options.grammar_file:
        raise UsageError("--grammar and --grammar-file exclude each other", "Give one of them.")
    return read_text(options.grammar_file, "--grammar-file") if options.grammar_file else options.grammar


def read_text(path: str, option: str) -> str:
    """Return the text of a file named by an option.

    Raises:
        UsageError: It can't be read, or isn't UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{option} {path!r} can't be read: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{option} {path!r} isn't UTF-8 (byte {error.start})", "Convert it to UTF-8."
        ) from error
