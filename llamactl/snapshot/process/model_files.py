"""The models that a process uses: found by their first bytes, sized by their headers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.snapshot.answering import ask
from llamactl.snapshot.process.buffers import ModelSize

if TYPE_CHECKING:
    from llamactl.snapshot.gguf.header import GgufFile

MAGIC_BYTES = 4


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
    context = _number(file, "context_length")
    size = ModelSize(shown, total, len(tensors), _cache_elements(file), context)
    return ModelHeader(size, tuple(sorted(tensors)))


def _number(file: GgufFile, key: str) -> int | None:
    value = file.get(f"{file.get('general.architecture')}.{key}")
    return value if isinstance(value, int) else None


def _cache_elements(file: GgufFile) -> int | None:
    """Return K plus V elements of one token over all layers; None where attention isn't the usual one."""
    layers, heads = _number(file, "block_count"), _number(file, "attention.head_count")
    embedding = _number(file, "embedding_length")
    if not layers or not heads or not embedding:
        return None
    key = _number(file, "attention.key_length") or embedding // heads
    value = _number(file, "attention.value_length") or embedding // heads
    return sum(_heads_kv(file, layers, heads)) * (key + value)


def _heads_kv(file: GgufFile, layers: int, heads: int) -> Sequence[int]:
    name = f"{file.get('general.architecture')}.attention.head_count_kv"
    entry = file.metadata.get(name)
    if entry is not None and entry.count is not None:
        from llamactl.snapshot.gguf import values

        found = values.read(file, name)
        return [int(item) for item in found] if isinstance(found, (list, tuple)) else []
    return [_number(file, "attention.head_count_kv") or heads] * layers
