"""What one run did: the facts that every face of it shows. Durations are nanoseconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.engine import BufferMemory
from llamactl.process.cpu_budget import CpuBudget
from llamactl.process.cpu_wait import CpuWaits
from llamactl.snapshot.gpu.account import DeviceAccount


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model that was loaded."""

    path: str
    name: str | None
    description: str
    file_type: str
    n_params: int
    size_bytes: int
    n_ctx_train: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as it was asked for and as it is; ``None`` where that can't be told.

    Attributes:
        asked: What the command line, the environment or the default asks for.
        in_force: What the engine or the kernel says.
        reason: Why they differ, where that is known.
    """

    asked: int | str | None
    in_force: int | str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """The time from one token to the next: choose, show, decode. ``None`` with fewer than two tokens."""

    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int | None


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a run went.

    Attributes:
        load_ns: Load the model.
        context_ns: Make the context.
        template_ns: Render the chat template; ``None`` without one.
        tokenize_ns: Text to tokens.
        prefill_ns: Compute the prompt; None when that was interrupted.
        time_to_first_token_ns: From the prompt's text to the first token chosen; ``None`` if there is none.
        decode_ns: Compute single tokens.
        sampling_ns: Choose tokens.
        detokenize_ns: Tokens to text.
        output_ns: Write the text.
        python_ns: Between those steps, while generating: Python's own share.
        unaccounted_ns: The rest of ``total_ns``.
        total_ns: From the start of loading to the last token.
        per_token: How even the tokens came.
        prompt_tokens_per_second: Of the prefill.
        tokens_per_second: Of whole steps: choose, show, decode.
        decode_tokens_per_second: Of decoding alone, as llama-bench counts.
    """

    load_ns: int
    context_ns: int
    template_ns: int | None
    tokenize_ns: int
    prefill_ns: int | None
    time_to_first_token_ns: int | None
    decode_ns: int
    sampling_ns: int
    detokenize_ns: int
    output_ns: int
    python_ns: int
    unaccounted_ns: int
    total_ns: int
    per_token: TokenTimes
    prompt_tokens_per_second: float | None
    tokens_per_second: float | None
    decode_tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class ModelMemory:
    """The model's file in this process (proc_pid_smaps(5)); all ``None`` where it can't be read."""

    file_bytes: int
    mapped_bytes: int | None
    resident_bytes: int | None
    locked_bytes: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """This process after generating.

    Attributes:
        resident_bytes: In memory.
        peak_resident_bytes: The most it was.
        private_bytes: Of that, anonymous: heap, stacks, buffers.
        file_mapped_bytes: Of that, pages of mapped files: the model, libraries.
        model: The model's file.
        buffers: What the engine holds, per kind of buffer and device.
        devices: Per device, against what its driver counts for this process.
    """

    resident_bytes: int | None
    peak_resident_bytes: int | None
    private_bytes: int | None
    file_mapped_bytes: int | None
    model: ModelMemory
    buffers: tuple[BufferMemory, ...]
    devices: tuple[DeviceAccount, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """Of everything that took part."""

    llamactl: str
    llama: str
    engine_commit: str
    ggml: str
    cffi: str
    python: str
    kernel: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. ``text`` is what the model wrote; it is kept only for whoever asks for a document.

    ``reasoning`` is what of it are thoughts, ``answer`` the rest: ``None`` where they can't be told apart;
    ``reasoning`` is ``None`` too where the template knows no thinking.
    ``samplers`` is what took part in choosing, in order; ``sampling`` its numbers.
    ``cpu_waits`` is of the prompt and the tokens; None where the kernel doesn't count it.
    """

    text: str
    reasoning: str | None
    answer: str | None
    finish_reason: str
    stopped_by: str | None
    n_prompt_tokens: int
    n_tokens: int
    seed: int | None
    samplers: tuple[str, ...]
    sampling: dict[str, float | None]
    model: ModelFacts
    settings: dict[str, Setting]
    timings: Timings
    memory: Memory
    cpu_budget: CpuBudget
    cpu_waits: CpuWaits | None
    versions: Versions
    warnings: tuple[str, ...]
