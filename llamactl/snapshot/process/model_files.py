"""The models that a process uses: found by their first bytes, sized by their headers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.process.answering import ask
from llamactl.snapshot.process.buffers import ModelSize

if TYPE_CHECKING:
    from llamactl.snapshot.gguf.header import GgufFile

MAGIC_BYTES = 4
_MOST = 1 << 20
"""Layers, heads and widths of models are far below this."""


def read_magic(path: str | Path) -> bytes:
    """Return the first four bytes of a file, without changing its access time where that is allowed."""
    for flags in (os.O_NOATIME, 0):
        try:
            ask(path, read=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
        except PermissionError:
            continue
        except OSError:
            return b""
        try:
            return os.read(descriptor, MAGIC_BYTES)
        except OSError:
            return b""
        finally:
            os.close(descriptor)
    return b""


@dataclass(frozen=True, slots=True)
class TensorRange:
    """The tensors that a part of a file holds, at least partly."""

    first: str
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """A model's header; ``tensors`` are (begin, end, name) in the file, in the order of the file."""

    size: ModelSize
    tensors: tuple[tuple[int, int, str], ...]

    def in_range(self, begin: int, end: int) -> TensorRange | None:
        """Return the tensors between two offsets of the file."""
        inside = [name for low, high, name in self.tensors if low < end and high > begin]
        return TensorRange(inside[0], inside[-1], len(inside)) if inside else None


def read_model(shown: str, readable: str) -> ModelHeader | None:
    """Return the header of the model that the process calls ``shown`` and we can read as ``readable``.

    None when it can't be read or is no sound GGUF file.
    """
    # Imported here: few processes have a model, and the parser is compiled code.
    from llamactl.snapshot.gguf import header

    try:
        file = header.read(readable)
    except LlamactlError:
        return None
    if file.data_offset is None:
        return None
    base = file.data_offset
    begins = ((base + tensor.offset, tensor) for tensor in file.tensors)
    tensors = [(begin, begin + (tensor.nbytes or 0), tensor.name) for begin, tensor in begins]
    total = sum(end - begin for begin, end, _ in tensors)
    size = ModelSize(shown, total, len(tensors), _cache_elements(file))
    return ModelHeader(size, tuple(sorted(tensors)))


def _number(file: GgufFile, key: str) -> int | None:
    value = file.get(f"{file.get('general.architecture')}.{key}")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _size(file: GgufFile, key: str) -> int | None:
    """Return a size of the architecture; None for one that no model has, since anybody may write the file."""
    value = _number(file, key)
    return value if value is not None and 0 < value <= _MOST else None


def _cache_elements(file: GgufFile) -> int | None:
    """Return K plus V elements of one token over all layers; None where attention isn't the usual one."""
    layers, heads = _size(file, "block_count"), _size(file, "attention.head_count")
    embedding = _size(file, "embedding_length")
    if not layers or not heads or not embedding:
        return None
    key = _size(file, "attention.key_length") or embedding // heads
    value = _size(file, "attention.value_length") or embedding // heads
    in_all = _heads_kv(file, layers, heads)
    return None if in_all is None else in_all * (key + value)


def _heads_kv(file: GgufFile, layers: int, heads: int) -> int | None:
    """Return the heads of K and V of all layers together; None where the file says something else."""
    key = "attention.head_count_kv"
    name = f"{file.get('general.architecture')}.{key}"
    entry = file.metadata.get(name)
    if entry is None:
        return heads * layers
    if entry.count is None:
        each = _size(file, key)
        return None if each is None else each * layers
    if entry.count > _MOST:
        return None
    from llamactl.snapshot.gguf import values

    try:
        found = values.read(file, name)
    except LlamactlError:
        return None
    counts = [item for item in found if isinstance(item, int)] if isinstance(found, list) else []
    sound = len(counts) == entry.count and all(0 <= item <= _MOST for item in counts)
    return sum(counts) if sound else None
