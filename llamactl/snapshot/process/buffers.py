"""Large buffers in anonymous memory, and which of them can be told: KV cache, private copies of weights.

glibc gives a large allocation pages of its own, with the size in a header at their beginning and the
bit IS_MMAPPED (2) set in it (glibc ``malloc/malloc.c``). Neighbours merge into one mapping, and the
headers part them again. Only these headers are read. What a buffer holds is then told from its size: a
KV cache is a whole multiple of 256 tokens, private weights are the sum of the file's tensors. What fits
neither stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llamactl.process.memory.smaps import Smaps
from llamactl.process.target_memory import TargetMemory

SMALLEST = 1 << 20
_PAGE = 4096
_IS_MMAPPED = 2
_MMAP_THRESHOLD = 128 << 10
_PAGES_TO_TRY = 64
_CONTEXT_STEP = 256  # llama.cpp rounds a context up to this many tokens
_SLACK = 2 * _PAGE  # header, alignment, and rounding up to a page
# Bytes per element of the types that a cache can have, the usual ones first (blocks of 32).
_CACHE_TYPES = (("f16", 2.0), ("q8_0", 34 / 32), ("f32", 4.0), ("q4_0", 18 / 32))


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What of a model decides sizes: ``cache_elements`` are K plus V of one token over all layers."""

    path: str
    tensor_bytes: int
    tensor_count: int
    cache_elements: int | None


@dataclass(frozen=True, slots=True)
class Buffer:
    """One large allocation.

    ``role`` is ``kv``, ``weights`` or ``unknown``; ``evidence`` says why, ``model`` of which file.
    """

    address: int
    size_bytes: int
    mapping: int
    role: str
    evidence: str
    model: str | None


def find_buffers(
    memory: TargetMemory, maps: Smaps, anonymous: Sequence[int], models: Sequence[ModelSize]
) -> list[Buffer]:
    """Return allocations of 1 MiB and more in the mappings whose indices are ``anonymous``."""
    found: list[Buffer] = []
    for index in anonymous:
        if maps.permissions[index] == "rw-p" and maps.end[index] - maps.start[index] >= SMALLEST:
            for address, size in _allocations(memory, maps.start[index], maps.end[index]):
                if size >= SMALLEST:
                    found.append(Buffer(address, size, index, *_role(size, models)))
    return found


def _allocations(memory: TargetMemory, start: int, end: int) -> Iterator[tuple[int, int]]:
    at, misses = start, 0
    while at < end and misses < _PAGES_TO_TRY:
        words = memory.words(at, 2)
        if not words:
            return
        size = words[1] - _IS_MMAPPED
        if words[0] == 0 and size >= _MMAP_THRESHOLD and size % _PAGE == 0 and at + size <= end:
            yield at, size
            at += size
        else:
            at += _PAGE
            misses += 1


def _role(size: int, models: Sequence[ModelSize]) -> tuple[str, str, str | None]:
    for model in models:
        # Every tensor is padded to 32 bytes.
        if model.tensor_bytes < size <= model.tensor_bytes + 32 * model.tensor_count + _SLACK:
            evidence = f"as large as the {model.tensor_count} tensors of the model together"
            return "weights", evidence, model.path
    for model in models:
        if tokens := _cache_tokens(size, model):
            return "kv", f"as large as a KV cache of {tokens[0]} tokens in {tokens[1]}", model.path
    return "unknown", "", None


def _cache_tokens(size: int, model: ModelSize) -> tuple[int, str] | None:
    if not model.cache_elements:
        return None
    for name, element_bytes in _CACHE_TYPES:
        step = int(model.cache_elements * element_bytes) * _CONTEXT_STEP
        if step <= 32 * _SLACK:
            continue  # With small steps almost any size would fit, and say nothing.
        count, rest = divmod(size, step)
        if count and rest <= _SLACK:
            return count * _CONTEXT_STEP, name
    return None
