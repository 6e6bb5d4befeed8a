"""Options that commands share, with llama.cpp's names, environment variables and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model."""

    model: Annotated[
        str | None, Option("-m", "--model", metavar="FILE", envvar="LLAMA_ARG_MODEL", help="A GGUF file.")
    ] = None
    hf_repo: Annotated[
        str | None,
        Option(
            "-hf",
            "-hfr",
            "--hf-repo",
            metavar="USER/REPO[:QUANT]",
            envvar="LLAMA_ARG_HF_REPO",
            help="From Hugging Face.",
        ),
    ] = None
    hf_file: Annotated[
        str | None,
        Option("-hff", "--hf-file", metavar="FILE", envvar="LLAMA_ARG_HF_FILE",
               help="Of the repository of -hf, instead of choosing."),
    ] = None  # fmt: skip
    offline: Annotated[
        bool, Option("--offline", envvar="LLAMA_ARG_OFFLINE", help="Take only what is cached.")
    ] = False
    load_mode: Annotated[
        str,
        Option(
            "-lm",
            "--load-mode",
            metavar="MODE",
            envvar="LLAMA_ARG_LOAD_MODE",
            help="auto, none (read), mmap, mlock, mmap+mlock, dio (direct I/O).",
        ),
    ] = "auto"
    gpu_layers: Annotated[
        str,
        Option("-ngl", "--gpu-layers", "--n-gpu-layers", metavar="N", envvar="LLAMA_ARG_N_GPU_LAYERS",
               help="Layers on the GPU: a number, auto or all."),
    ] = "auto"  # fmt: skip
    main_gpu: Annotated[
        int, Option("-mg", "--main-gpu", envvar="LLAMA_ARG_MAIN_GPU", help="The GPU for all with -sm none.")
    ] = 0
    split_mode: Annotated[
        str,
        Option("-sm", "--split-mode", metavar="MODE", envvar="LLAMA_ARG_SPLIT_MODE",
               help="Over several GPUs: none, layer, row, tensor."),
    ] = "layer"  # fmt: skip
    rpc: Annotated[
        str | None,
        Option("--rpc", metavar="HOST:PORT,…", envvar="LLAMA_ARG_RPC",
               help="Spread layers over these workers (llamactl worker)."),
    ] = None  # fmt: skip
    check_tensors: Annotated[bool, Option("--check-tensors", help="Validate the weights while loading.")] = (
        False
    )


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """Sizes, threads and types."""

    threads: Annotated[
        int | None,
        Option("-t", "--threads", metavar="N", envvar="LLAMA_ARG_THREADS",
               help="Threads to generate with. Default: physical cores within affinity and CPU quota."),
    ] = None  # fmt: skip
    threads_batch: Annotated[
        int | None,
        Option("-tb", "--threads-batch", metavar="N", envvar="LLAMA_ARG_THREADS_BATCH",
               help="Threads for the prompt. Default: as -t."),
    ] = None  # fmt: skip
    ctx_size: Annotated[
        int,
        Option("-c", "--ctx-size", metavar="N", envvar="LLAMA_ARG_CTX_SIZE",
               help="Context in tokens; 0 takes the model's."),
    ] = 0  # fmt: skip
    batch_size: Annotated[
        int,
        Option(
            "-b", "--batch-size", metavar="N", envvar="LLAMA_ARG_BATCH", help="Most tokens in one decode."
        ),
    ] = 2048
    ubatch_size: Annotated[
        int,
        Option(
            "-ub",
            "--ubatch-size",
            metavar="N",
            envvar="LLAMA_ARG_UBATCH",
            help="Most tokens computed at once.",
        ),
    ] = 512
    flash_attn: Annotated[
        str,
        Option("-fa", "--flash-attn", metavar="MODE", envvar="LLAMA_ARG_FLASH_ATTN", help="on, off or auto."),
    ] = "auto"
    cache_type_k: Annotated[
        str,
        Option("-ctk", "--cache-type-k", metavar="TYPE", envvar="LLAMA_ARG_CACHE_TYPE_K",
               help="Type of the K cache: f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1."),
    ] = "f16"  # fmt: skip
    cache_type_v: Annotated[
        str,
        Option(
            "-ctv",
            "--cache-type-v",
            metavar="TYPE",
            envvar="LLAMA_ARG_CACHE_TYPE_V",
            help="Type of the V cache.",
        ),
    ] = "f16"
    kv_offload: Annotated[
        bool,
        Option("--kv-offload/--no-kv-offload", "-kvo/-nkvo", envvar="LLAMA_ARG_KV_OFFLOAD",
               help="KV cache on the GPU where layers are."),
    ] = True  # fmt: skip
