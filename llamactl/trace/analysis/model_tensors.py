"""Where the tensors of a model lie in its file, for page faults by tensor and layer."""

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
