"""Options that go to the engine as they are: placement, RoPE, adapters, threads; llama.cpp's names and variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option


@dataclass(frozen=True, slots=True)
class PlacementOptions:
    """Where weights go, and what of the file is replaced."""

    devices: Annotated[
        str | None,
        Option("-dev", "--device", metavar="NAME,…", envvar="LLAMA_ARG_DEVICE",
               help="Devices to offload to; none for none. See llamactl inspect --only engine."),
    ] = None  # fmt: skip
    tensor_split: Annotated[
        str | None,
        Option("-ts", "--tensor-split", metavar="N,…", envvar="LLAMA_ARG_TENSOR_SPLIT",
               help="Shares of the devices, such as 3,1."),
    ] = None  # fmt: skip
    override_tensor: Annotated[
        list[str],
        Option("-ot", "--override-tensor", metavar="PATTERN=BUFFER,…",
               help="Put tensors with such names there: 'exps=CPU'. Repeatable. "
                    "[env var: LLAMA_ARG_OVERRIDE_TENSOR]"),
    ] = field(default_factory=list)  # fmt: skip
    cpu_moe: Annotated[
        bool, Option("-cmoe", "--cpu-moe", envvar="LLAMA_ARG_CPU_MOE", help="All experts stay on the CPU.")
    ] = False
    n_cpu_moe: Annotated[
        int,
        Option("-ncmoe", "--n-cpu-moe", metavar="N", envvar="LLAMA_ARG_N_CPU_MOE",
               help="Experts of the first N layers stay on the CPU."),
    ] = 0  # fmt: skip
    n_cpu_ffn: Annotated[
        int,
        Option("-ncffn", "--n-cpu-ffn", metavar="N", envvar="LLAMA_ARG_N_CPU_FFN",
               help="Dense feed-forward weights of the first N layers stay on the CPU."),
    ] = 0  # fmt: skip
    override_kv: Annotated[
        list[str],
        Option("--override-kv", metavar="KEY=TYPE:VALUE,…",
               help="Replace metadata of the file: int, float, bool or str. Repeatable."),
    ] = field(default_factory=list)  # fmt: skip
    repack: Annotated[
        bool,
        Option("--repack/--no-repack", " /-nr", envvar="LLAMA_ARG_REPACK",
               help="Repack weights for the CPU where that is quicker."),
    ] = True  # fmt: skip
    no_host: Annotated[
        bool, Option("--no-host", envvar="LLAMA_ARG_NO_HOST", help="Don't use devices' host buffers.")
    ] = False
    lazy_mode: Annotated[
        str,
        Option("-lzm", "--lazy-mode", metavar="MODE", envvar="LLAMA_ARG_LAZY_MODE",
               help="Read rows of huge tensors on demand: on, off, auto."),
    ] = "auto"  # fmt: skip
    fit: Annotated[
        str,
        Option("-fit", "--fit", metavar="on|off", envvar="LLAMA_ARG_FIT",
               help="Make what isn't set (context, layers on the GPU) so that it fits the memory."),
    ] = "on"  # fmt: skip
    fit_target: Annotated[
        str,
        Option("-fitt", "--fit-target", metavar="MiB,…", envvar="LLAMA_ARG_FIT_TARGET",
               help="Memory that --fit leaves free on each device."),
    ] = "1024"  # fmt: skip
    fit_ctx: Annotated[
        int,
        Option("-fitc", "--fit-ctx", metavar="N", envvar="LLAMA_ARG_FIT_CTX",
               help="Least context that --fit takes."),
    ] = 4096  # fmt: skip


@dataclass(frozen=True, slots=True)
class RopeOptions:
    """How positions are counted, and what else a context is made with."""

    swa_full: Annotated[
        bool,
        Option("--swa-full", envvar="LLAMA_ARG_SWA_FULL",
               help="Keep all tokens in layers with a sliding window."),
    ] = False  # fmt: skip
    op_offload: Annotated[
        bool, Option("--op-offload/--no-op-offload", help="Compute on a GPU what lies in memory.")
    ] = True
    rope_scaling: Annotated[
        str | None,
        Option("--rope-scaling", metavar="none|linear|yarn", envvar="LLAMA_ARG_ROPE_SCALING_TYPE",
               help="How a longer context is reached. Default: the model's."),
    ] = None  # fmt: skip
    rope_scale: Annotated[
        float | None,
        Option("--rope-scale", metavar="N", envvar="LLAMA_ARG_ROPE_SCALE", help="Context N times as long."),
    ] = None
    rope_freq_base: Annotated[
        float,
        Option("--rope-freq-base", envvar="LLAMA_ARG_ROPE_FREQ_BASE", help="0 for the model's."),
    ] = 0.0
    rope_freq_scale: Annotated[
        float,
        Option("--rope-freq-scale", envvar="LLAMA_ARG_ROPE_FREQ_SCALE", help="0 for the model's."),
    ] = 0.0
    yarn_orig_ctx: Annotated[
        int, Option("--yarn-orig-ctx", envvar="LLAMA_ARG_YARN_ORIG_CTX", help="0 for the trained context.")
    ] = 0
    yarn_ext_factor: Annotated[
        float, Option("--yarn-ext-factor", envvar="LLAMA_ARG_YARN_EXT_FACTOR", help="-1 for the model's.")
    ] = -1.0
    yarn_attn_factor: Annotated[
        float, Option("--yarn-attn-factor", envvar="LLAMA_ARG_YARN_ATTN_FACTOR", help="-1 for the model's.")
    ] = -1.0
    yarn_beta_slow: Annotated[
        float, Option("--yarn-beta-slow", envvar="LLAMA_ARG_YARN_BETA_SLOW", help="-1 for the model's.")
    ] = -1.0
    yarn_beta_fast: Annotated[
        float, Option("--yarn-beta-fast", envvar="LLAMA_ARG_YARN_BETA_FAST", help="-1 for the model's.")
    ] = -1.0


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """What changes the model's answers."""

    lora: Annotated[list[str], Option("--lora", metavar="FILE,…", help="A LoRA adapter. Repeatable.")] = (
        field(default_factory=list)
    )
    lora_scaled: Annotated[
        list[str],
        Option("--lora-scaled", metavar="FILE:SCALE,…", help="The same with its strength. Repeatable."),
    ] = field(default_factory=list)
    control_vector: Annotated[
        list[str], Option("--control-vector", metavar="FILE,…", help="A control vector. Repeatable.")
    ] = field(default_factory=list)
    control_vector_scaled: Annotated[
        list[str],
        Option("--control-vector-scaled", metavar="FILE:SCALE,…",
               help="The same with its strength. Repeatable."),
    ] = field(default_factory=list)  # fmt: skip
    control_vector_layers: Annotated[
        tuple[int, int] | None,
        Option("--control-vector-layer-range", metavar="FIRST LAST", help="Layers that get it."),
    ] = None


@dataclass(frozen=True, slots=True)
class PlaceOptions:
    """Where threads run, and how they wait."""

    cpu_mask: Annotated[str | None, Option("-C", "--cpu-mask", metavar="HEX", help="CPUs, as bits.")] = None
    cpu_range: Annotated[str | None, Option("-Cr", "--cpu-range", metavar="LO-HI", help="CPUs.")] = None
    cpu_strict: Annotated[int, Option("--cpu-strict", metavar="0|1", help="One thread a CPU.")] = 0
    prio: Annotated[int, Option("--prio", metavar="-1|0|1|2|3", help="Priority, as llama.cpp's.")] = 0
    poll: Annotated[
        int, Option("--poll", metavar="0…100", help="How long threads spin for work before they sleep.")
    ] = 50
    cpu_mask_batch: Annotated[
        str | None, Option("-Cb", "--cpu-mask-batch", metavar="HEX", help="As -C, for the prompt.")
    ] = None
    cpu_range_batch: Annotated[
        str | None, Option("-Crb", "--cpu-range-batch", metavar="LO-HI", help="As -Cr, for the prompt.")
    ] = None
    cpu_strict_batch: Annotated[
        int | None, Option("--cpu-strict-batch", metavar="0|1", help="As --cpu-strict, for the prompt.")
    ] = None
    prio_batch: Annotated[
        int | None, Option("--prio-batch", metavar="0|1|2|3", help="As --prio, for the prompt.")
    ] = None
    poll_batch: Annotated[
        int | None, Option("--poll-batch", metavar="0…100", help="As --poll, for the prompt.")
    ] = None
    numa: Annotated[
        str | None,
        Option("--numa", metavar="MODE", envvar="LLAMA_ARG_NUMA", help="distribute, isolate or numactl."),
    ] = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The groups that go to the engine as they are."""

    placing: PlacementOptions
    rope: RopeOptions
    adapters: AdapterOptions
    places: PlaceOptions
