"""What a model's file tells: where its tensors lie, for page faults by tensor and layer, and its vocabulary."""

from __future__ import annotations

import os

from llamactl.errors import UsageError
from llamactl.snapshot.gguf.header import read


def tensors_of(path: bytes) -> list[tuple[int, int, str]]:
    """Return (offset in the file, bytes, name) of each tensor, ordered by offset.

    Empty when the file can't be read any more or isn't a whole GGUF: the faults are then known for the
    mapping as a whole only.
    """
    try:
        model = read(os.fsdecode(path))
    except UsageError:
        return []
    if model.data_offset is None:
        return []
    begin = model.data_offset
    found = [(begin + tensor.offset, tensor.nbytes or 0, tensor.name) for tensor in model.tensors]
    return sorted(found)


def vocabulary_of(path: bytes) -> int | None:
    """Return how many tokens a model's vocabulary has; None when the file doesn't say, or can't be read."""
    try:
        entry = read(os.fsdecode(path)).metadata.get("tokenizer.ggml.tokens")
    except UsageError:
        return None
    return entry.count if entry else None
