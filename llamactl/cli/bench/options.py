"""Options of ``llamactl bench``, with llama-bench's names; lists are 1,2,4 or ranges 1-8, 1-8+2, 1-8*2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option


@dataclass(frozen=True, slots=True)
class TestOptions:
    """What to measure."""

    model: Annotated[
        list[str],
        Option("-m", "--model", metavar="FILE", help="GGUF file. Repeatable. [env var: LLAMA_ARG_MODEL]"),
    ] = field(default_factory=list)
    hf_repo: Annotated[
        str | None,
        Option("-hf", "-hfr", "--hf-repo", metavar="USER/REPO[:QUANT]", envvar="LLAMA_ARG_HF_REPO",
               help="From Hugging Face."),
    ] = None  # fmt: skip
    hf_file: Annotated[
        str | None,
        Option("-hff", "--hf-file", metavar="FILE", envvar="LLAMA_ARG_HF_FILE",
               help="Of that repository, instead of choosing."),
    ] = None  # fmt: skip
    offline: Annotated[
        bool, Option("--offline", envvar="LLAMA_ARG_OFFLINE", help="Take only what is cached.")
    ] = False
    n_prompt: Annotated[
        list[str],
        Option("-p", "--n-prompt", metavar="N,…", help="Prompts of N tokens (pp). 0 for none. [512]"),
    ] = field(default_factory=list)
    n_gen: Annotated[
        list[str], Option("-n", "--n-gen", metavar="N,…", help="Generate N tokens (tg). 0 for none. [128]")
    ] = field(default_factory=list)
    prompt_gen: Annotated[
        list[str], Option("-pg", metavar="PP,TG", help="A prompt and then tokens, together. Repeatable.")
    ] = field(default_factory=list)
    n_depth: Annotated[
        list[str], Option("-d", "--n-depth", metavar="N,…", help="Tokens in the cache before. [0]")
    ] = field(default_factory=list)
    ttft: Annotated[
        list[str],
        Option(
            "--ttft",
            metavar="N,…",
            help="Time to the first token of a whole request with a prompt of N tokens.",
        ),
    ] = field(default_factory=list)
    load: Annotated[
        list[str], Option("--load", metavar="cold,warm", help="Loading, with an empty or a full page cache.")
    ] = field(default_factory=list)
    embed: Annotated[
        list[str], Option("--embed", metavar="N,…", help="The embedding of a text of N tokens.")
    ] = field(default_factory=list)
    parallel: Annotated[
        list[str],
        Option("-np", "--parallel", metavar="N,…", help="Generate -n tokens in N sequences side by side."),
    ] = field(default_factory=list)
    processes: Annotated[
        list[str],
        Option("--processes", metavar="N,…", help="Generate in N processes that share the model file."),
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SettingOptions:
    """How to load and compute; several values are measured one after the other."""

    threads: Annotated[
        list[str],
        Option("-t", "--threads", metavar="N,…", envvar="LLAMA_ARG_THREADS",
               help="Threads. Default: physical cores within affinity and CPU quota."),
    ] = field(default_factory=list)  # fmt: skip
    batch_size: Annotated[
        list[str],
        Option(
            "-b", "--batch-size", metavar="N,…", envvar="LLAMA_ARG_BATCH", help="Most tokens a decode. [2048]"
        ),
    ] = field(default_factory=list)
    ubatch_size: Annotated[
        list[str],
        Option(
            "-ub", "--ubatch-size", metavar="N,…", envvar="LLAMA_ARG_UBATCH", help="Tokens at once. [512]"
        ),
    ] = field(default_factory=list)
    cache_type_k: Annotated[
        list[str],
        Option(
            "-ctk", "--cache-type-k", metavar="TYPE,…", envvar="LLAMA_ARG_CACHE_TYPE_K", help="K cache. [f16]"
        ),
    ] = field(default_factory=list)
    cache_type_v: Annotated[
        list[str],
        Option(
            "-ctv", "--cache-type-v", metavar="TYPE,…", envvar="LLAMA_ARG_CACHE_TYPE_V", help="V cache. [f16]"
        ),
    ] = field(default_factory=list)
    flash_attn: Annotated[
        list[str],
        Option(
            "-fa",
            "--flash-attn",
            metavar="MODE,…",
            envvar="LLAMA_ARG_FLASH_ATTN",
            help="on, off, auto. [auto]",
        ),
    ] = field(default_factory=list)
    gpu_layers: Annotated[
        list[str],
        Option("-ngl", "--n-gpu-layers", "--gpu-layers", metavar="N,…", envvar="LLAMA_ARG_N_GPU_LAYERS",
               help="Layers on the GPU; -1 for all. [-1]"),
    ] = field(default_factory=list)  # fmt: skip
    split_mode: Annotated[
        list[str],
        Option("-sm", "--split-mode", metavar="MODE,…", help="Over several GPUs: none, layer, row. [layer]"),
    ] = field(default_factory=list)
    main_gpu: Annotated[
        list[str], Option("-mg", "--main-gpu", metavar="I,…", help="The GPU with -sm none. [0]")
    ] = field(default_factory=list)
    load_mode: Annotated[
        list[str],
        Option("-lm", "--load-mode", metavar="MODE,…", envvar="LLAMA_ARG_LOAD_MODE",
               help="auto, none, mmap, mlock, mmap+mlock, dio. [auto]"),
    ] = field(default_factory=list)  # fmt: skip
    no_kv_offload: Annotated[
        list[str], Option("-nkvo", "--no-kv-offload", metavar="0|1,…", help="KV cache not on the GPU. [0]")
    ] = field(default_factory=list)
    embeddings: Annotated[
        list[str], Option("-embd", "--embeddings", metavar="0|1,…", help="Compute embeddings too. [0]")
    ] = field(default_factory=list)
    cpu_mask: Annotated[
        list[str],
        Option("-C", "--cpu-mask", metavar="HEX,…", help="CPUs to run on, as bits; 0x0 for all. [0x0]"),
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConditionOptions:
    """How often, and under which conditions."""

    repetitions: Annotated[
        int | None, Option("-r", "--repetitions", metavar="N", help="Of each test. [5; in turns: 60 pairs]")
    ] = None
    no_warmup: Annotated[bool, Option("--no-warmup", help="Don't do the work once before measuring.")] = False
    delay: Annotated[float, Option("--delay", metavar="SECONDS", help="Pause before each test.")] = 0.0
    prio: Annotated[int, Option("--prio", metavar="-1|0|1|2|3", help="Priority, as llama-bench's.")] = 0
    numa: Annotated[str | None, Option("--numa", metavar="MODE", help="distribute, isolate or numactl.")] = (
        None
    )
    rpc: Annotated[
        str | None,
        Option(
            "--rpc", metavar="HOST:PORT,…", envvar="LLAMA_ARG_RPC", help="Spread layers over these workers."
        ),
    ] = None
    against: Annotated[
        str | None,
        Option(
            "--against",
            metavar="ENGINE_DIR",
            help="In turns with the engine in this directory (libllama.so).",
        ),
    ] = None
    against_python: Annotated[
        str | None,
        Option("--against-python", metavar="ENV", help="In turns with the llamactl of this environment."),
    ] = None


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """When to fail."""

    baseline: Annotated[
        str | None, Option("--baseline", metavar="FILE", help="Compare with a stored result.")
    ] = None
    fail_if: Annotated[
        list[str],
        Option(
            "--fail-if", metavar="'NAME < X'", help="Exit 3 if the ratio to the baseline is so. Repeatable."
        ),
    ] = field(default_factory=list)
    update_baseline: Annotated[
        bool, Option("--update-baseline", help="Write the result to --baseline instead of comparing.")
    ] = False
    allow_different: Annotated[
        list[str],
        Option(
            "--allow-different",
            metavar="NAME",
            help="model, engine, machine or settings: the baseline may be of another.",
        ),
    ] = field(default_factory=list)
    confidence: Annotated[
        float, Option("--confidence", metavar="SHARE", help="Of intervals and checks, both sides.")
    ] = 0.99
    strict: Annotated[bool, Option("--strict", help="Exit 125 when a check passes without certainty.")] = (
        False
    )


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What is shown and stored."""

    output: Annotated[
        str,
        Option("-o", "--output", metavar="FORMAT",
               help="md, csv, json, jsonl, sql, github-action-benchmark, bencher, summary."),
    ] = "md"  # fmt: skip
    output_err: Annotated[
        str | None, Option("-oe", "--output-err", metavar="FORMAT", help="The same on stderr, besides.")
    ] = None
    save: Annotated[
        list[str],
        Option(
            "--save",
            metavar="FILE",
            help="Store after each test: .json .jsonl .csv .md .sql .sqlite. Repeatable.",
        ),
    ] = field(default_factory=list)
    plot: Annotated[
        str | None, Option("--plot", metavar="FILE", help="Draw samples and sweeps: .svg, .png, .pdf.")
    ] = None
    summary: Annotated[
        str | None,
        Option(
            "--summary", metavar="FILE", help="Append a page of Markdown, such as to $GITHUB_STEP_SUMMARY."
        ),
    ] = None
    progress: Annotated[bool, Option("--progress", help="Say what is being done on stderr.")] = False
    quiet: Annotated[bool, Option("-q", "--quiet", help="No warnings, no figures on stderr.")] = False


@dataclass(frozen=True, slots=True)
class BindingOptions:
    """Which ways to call the same library."""

    binding: Annotated[
        list[str],
        Option(
            "--binding",
            metavar="NAME,…",
            help="Compare native (llama-bench), cffi (llamactl), ctypes (llama-cpp-python), generating -n tokens.",
        ),
    ] = field(default_factory=list)
    llama_bench: Annotated[
        str | None, Option("--llama-bench", metavar="FILE", help="llama.cpp's program, for native. [PATH]")
    ] = None
    ctypes_python: Annotated[
        str | None,
        Option("--ctypes-python", metavar="ENV", help="An environment with llama-cpp-python. [this one]"),
    ] = None
