"""What to measure: tests and settings, multiplied out as llama-bench does it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

from llamactl.errors import UsageError

RANGE = re.compile(r"(-?\d+)(?:-(\d+)(?:([+*])(\d+))?)?")
KINDS = ("pp", "tg", "pg", "ttft", "load", "embed", "parallel", "processes")


@dataclass(frozen=True, slots=True)
class BenchTest:
    """One thing to measure.

    Attributes:
        kind: One of :data:`KINDS`.
        n_prompt: Tokens of the prompt.
        n_gen: Tokens to generate, by each sequence.
        n_depth: Tokens in the cache before it starts.
        n_seq: Sequences side by side in one context, or processes that share a model.
        cache: ``cold`` or ``warm``, of ``load``; empty otherwise.
    """

    kind: str
    n_prompt: int = 0
    n_gen: int = 0
    n_depth: int = 0
    n_seq: int = 1
    cache: str = ""

    @property
    def name(self) -> str:
        """llama-bench's name where it has one: ``pp512``, ``tg128``, ``pp512+tg128``, ``tg128 @ d512``."""
        base = {
            "pp": f"pp{self.n_prompt}",
            "tg": f"tg{self.n_gen}",
            "pg": f"pp{self.n_prompt}+tg{self.n_gen}",
            "ttft": f"ttft{self.n_prompt}",
            "load": f"load-{self.cache}",
            "embed": f"embed{self.n_prompt}",
            "parallel": f"tg{self.n_gen}x{self.n_seq}",
            "processes": f"tg{self.n_gen}p{self.n_seq}",
        }[self.kind]
        return f"{base} @ d{self.n_depth}" if self.n_depth else base

    @property
    def n_tokens(self) -> int:
        """Tokens that one repetition computes; 0 for ``load``, 1 for ``ttft``."""
        if self.kind == "ttft":
            return 1
        return 0 if self.kind == "load" else (self.n_prompt + self.n_gen) * self.n_seq

    @property
    def is_llama_bench(self) -> bool:
        """Whether llama-bench measures the same thing under the same name."""
        return self.kind in {"pp", "tg", "pg"}


@dataclass(frozen=True, slots=True)
class Setup:
    """How to load and compute: llama-bench's names and values.

    ``n_gpu_layers`` is -1 for all; ``flash_attn`` is ``auto``, ``on`` or ``off``; ``cpu_mask`` is hexadecimal,
    ``0x0`` for no mask.
    """

    model_filename: str
    n_gpu_layers: int = -1
    split_mode: str = "layer"
    load_mode: str = "auto"
    main_gpu: int = 0
    embeddings: bool = False
    n_batch: int = 2048
    n_ubatch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    no_kv_offload: bool = False
    flash_attn: str = "auto"
    n_threads: int = 4
    cpu_mask: str = "0x0"


@dataclass(frozen=True, slots=True)
class Case:
    """One test under one setup."""

    setup: Setup
    test: BenchTest


def numbers(text: str, option: str, least: int = 0) -> list[int]:
    """Return the numbers of a list with ranges: ``1,4``, ``1-4``, ``1-16*2``, ``0-1024+256``.

    Raises:
        UsageError: It can't be read, goes backwards, or has a number below ``least``.
    """
    found: list[int] = []
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        if not match or len(part) > 64:
            raise UsageError(
                f"{option} {text!r} isn't a list of numbers", "Write such as 512 or 1,2,4 or 1-8*2."
            )
        found += _range(match, f"{option} {text!r}")
    if bad := [one for one in found if not least <= one < 2**31]:
        raise UsageError(f"{option} {bad[0]} is out of range", f"Use {least} or more.")
    return found


def _range(match: re.Match[str], what: str) -> list[int]:
    first = int(match[1])
    last, step = int(match[2] or first), int(match[4] or 1)
    if last < first or step < 1 or (match[3] == "*" and (step < 2 or first < 1)):
        raise UsageError(
            f"{what} is a range that doesn't end", "Write first-last, first-last+step, first-last*factor."
        )
    found, here = [], first
    while here <= last:
        found.append(here)
        if len(found) > 10_000:
            raise UsageError(f"{what} has more than 10,000 numbers", "Take larger steps.")
        here = here * step if match[3] == "*" else here + step
    return found


def setups(choices: dict[str, Sequence[object]]) -> Iterator[Setup]:
    """Yield every combination, in the order that loads models least often (llama-bench's)."""
    names = [field.name for field in fields(Setup) if field.name in choices]
    for values in product(*(choices[name] for name in names)):
        setup = Setup(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
        yield replace(setup, n_ubatch=min(setup.n_ubatch or setup.n_batch, setup.n_batch))


def cases(
    choices: dict[str, Sequence[object]], depths: Sequence[int], tests: Sequence[BenchTest]
) -> tuple[Case, ...]:
    """Return what to measure, in order; ``load`` has no depth.

    Raises:
        UsageError: There is nothing to measure.
    """
    found = [
        Case(setup, replace(test, n_depth=depth) if depth else test)
        for setup in setups(choices)
        for depth in depths
        for test in tests
        if not (depth and test.kind not in {"pp", "tg", "pg", "parallel"})
    ]
    if not found:
        raise UsageError(
            "there is nothing to measure", "Give -p, -n or -pg a number above 0, or --ttft, --load."
        )
    return tuple(dict.fromkeys(found))
