"""From the options of ``llamactl bench`` to what is measured. Imports the engine: call it inside a command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llamactl.bench.options import Options
from llamactl.bench.plan import BenchTest, Case, cases, numbers
from llamactl.cli.bench.options import ConditionOptions, SettingOptions, TestOptions
from llamactl.engine.library import NUMA
from llamactl.engine.parameters import FLASH_ATTENTION, KV_TYPES, LOAD_MODES, SPLIT_MODES, choose, switch
from llamactl.errors import UsageError
from llamactl.models.resolve import resolve_model
from llamactl.process.cpu_budget import cpu_budget
from llamactl.run.extras import NICE
from llamactl.snapshot.gguf.check import check_model

REPETITIONS, PAIRS = 5, 60
CACHES = ("cold", "warm")
MOST_SEQUENCES = 256


def plan(tests: TestOptions, settings: SettingOptions) -> tuple[Case, ...]:
    """Return what to measure.

    Raises:
        UsageError: A value is unknown or out of range, or there is nothing to measure.
    """
    found = chosen_tests(tests)
    choices = setting_choices(settings)
    depths = _numbers(tests.n_depth, "-d", "0")
    # Everything that can be refused without a model was.
    models = [
        str(resolve_model(one, tests.hf_repo, tests.hf_file, offline=tests.offline))
        for one in (model_paths(tests.model) or (None,))
    ]
    for path in models:
        # The engine aborts on some damaged headers; here the fault and its byte are named.
        check_model(path)
    return cases({"model_filename": models, **choices}, depths, found)


def check_workers(cases: Sequence[Case], options: Options) -> None:
    """Raise :class:`UsageError` for tests that several processes would need the same workers for."""
    if options.rpc and any(case.test.kind == "processes" for case in cases):
        raise UsageError(
            "--rpc doesn't go with --processes: a worker serves one client at a time",
            "Leave one of them out.",
        )


def model_paths(given: Sequence[str]) -> list[str]:
    """Return the files of ``-m``: a comma separates them unless it belongs to a file's name."""
    return [path for one in given for path in ([one] if Path(one).exists() else _words([one]))]


def chosen_tests(options: TestOptions) -> list[BenchTest]:
    """Return the tests, in llama-bench's order: prompts, generations, pairs; then what it hasn't."""
    generations = [n for n in _numbers(options.n_gen, "-n", "128") if n]
    found = [BenchTest("pp", n_prompt=n) for n in _numbers(options.n_prompt, "-p", "512") if n]
    found += [BenchTest("tg", n_gen=n) for n in generations]
    found += [test for text in options.prompt_gen if (test := _prompt_gen(text)) is not None]
    found += [BenchTest("ttft", n_prompt=n) for n in _numbers(options.ttft, "--ttft", least=1)]
    found += [BenchTest("embed", n_prompt=n) for n in _numbers(options.embed, "--embed", least=1)]
    for kind, values in (("parallel", options.parallel), ("processes", options.processes)):
        counts = _numbers(values, f"--{kind}", least=1)
        if counts and not generations:
            raise UsageError(f"--{kind} needs the number of tokens", "Give -n.")
        if counts and max(counts) > MOST_SEQUENCES:
            raise UsageError(f"--{kind} {max(counts)} is out of range", f"Use 1 to {MOST_SEQUENCES}.")
        found += [BenchTest(kind, n_gen=n, n_seq=count) for n in generations for count in counts]
    found += [BenchTest("load", cache=_one_of("--load", cache, CACHES)) for cache in _words(options.load)]
    return found


def _prompt_gen(text: str) -> BenchTest | None:
    parts = text.split(",")
    if len(parts) != 2:
        raise UsageError(f"-pg {text!r} isn't a pair", "Write such as -pg 512,128.")
    prompt, gen = (numbers(part, "-pg")[0] for part in parts)
    if prompt and gen:
        return BenchTest("pg", n_prompt=prompt, n_gen=gen)
    if prompt or gen:
        return BenchTest("pp", n_prompt=prompt) if prompt else BenchTest("tg", n_gen=gen)
    return None


def setting_choices(options: SettingOptions) -> dict[str, Sequence[object]]:
    """Return the values of each setting."""
    modes = [switch(word) for word in _words(options.flash_attn, "auto")]
    return {
        "n_threads": [
            max(n, 0) or cpu_budget().threads for n in _numbers(options.threads, "-t", "0", least=-1)
        ],
        "n_batch": _numbers(options.batch_size, "-b", "2048", least=1),
        "n_ubatch": _numbers(options.ubatch_size, "-ub", "512"),
        "type_k": _known("KV type", _words(options.cache_type_k, "f16"), KV_TYPES),
        "type_v": _known("KV type", _words(options.cache_type_v, "f16"), KV_TYPES),
        "flash_attn": _known("flash attention", modes, FLASH_ATTENTION),
        "n_gpu_layers": _numbers(options.gpu_layers, "-ngl", "-1", least=-1),
        "split_mode": _known("split mode", _words(options.split_mode, "layer"), SPLIT_MODES),
        "main_gpu": _numbers(options.main_gpu, "-mg", "0"),
        "load_mode": _known("load mode", _words(options.load_mode, "auto"), LOAD_MODES),
        "no_kv_offload": _flags(options.no_kv_offload, "-nkvo"),
        "embeddings": _flags(options.embeddings, "-embd"),
        "cpu_mask": [_mask(word) for word in _words(options.cpu_mask, "0x0")],
    }


def measuring_options(conditions: ConditionOptions) -> Options:
    """Return how to measure.

    Raises:
        UsageError: A value is out of range.
    """
    paired = bool(conditions.against or conditions.against_python)
    repetitions = (
        conditions.repetitions if conditions.repetitions is not None else PAIRS if paired else REPETITIONS
    )
    if not 1 <= repetitions <= 100_000:
        raise UsageError(f"-r {repetitions} is out of range", "Use 1 or more.")
    if not 0 <= conditions.delay <= 3600:
        raise UsageError(f"--delay {conditions.delay:g} is out of range", "Use 0 to 3600 seconds.")
    if conditions.prio not in NICE:
        raise UsageError(
            f"--prio {conditions.prio} is unknown", f"Choose one of: {', '.join(map(str, NICE))}."
        )
    if conditions.rpc and paired:
        raise UsageError(
            "--rpc doesn't go with --against: a worker serves one client at a time", "Leave one of them out."
        )
    if conditions.numa is not None:
        choose("--numa", conditions.numa, NUMA)
    return Options(
        repetitions=repetitions,
        warm_up=not conditions.no_warmup,
        delay_s=conditions.delay,
        priority=conditions.prio,
        numa=conditions.numa,
        rpc=conditions.rpc,
    )


def _words(values: Sequence[str], default: str = "") -> list[str]:
    words = [word.strip() for value in values or ([default] if default else []) for word in value.split(",")]
    if not all(words):
        raise UsageError(f"{','.join(values)!r} has an empty value", "Write such as 1,2,4.")
    return words


def _numbers(values: Sequence[str], option: str, default: str = "", least: int = 0) -> list[int]:
    texts = values or ([default] if default else [])
    return [number for text in texts for number in numbers(text, option, least)]


def _known(kind: str, words: list[str], table: dict[str, int]) -> list[str]:
    for word in words:
        choose(kind, word, table)
    return words


def _flags(values: Sequence[str], option: str) -> list[bool]:
    return [_one_of(option, word, ("0", "1")) == "1" for word in _words(values, "0")]


def _one_of(option: str, word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise UsageError(f"{option} {word!r} is unknown", f"Choose one of: {', '.join(known)}.")
    return word


def _mask(word: str) -> str:
    try:
        bits = int(word, 16)
    except ValueError:
        bits = -1
    if not 0 <= bits < 1 << 4096:
        raise UsageError(f"--cpu-mask {word!r} isn't hexadecimal", "Write such as 0x3 for CPUs 0 and 1.")
    allowed = os.sched_getaffinity(0)
    wanted = {bit for bit in range(bits.bit_length()) if bits >> bit & 1}
    if not wanted <= allowed:
        raise UsageError(
            f"--cpu-mask {word} has CPUs that this process may not use", f"It may use {sorted(allowed)}."
        )
    return hex(bits)
