"""The memory of a context: what is kept of the tokens of each sequence (``llama_memory_*``)."""

from __future__ import annotations

from typing import Any

from llamactl.engine.handle import Handle
from llamactl.engine.native import lib
from llamactl.errors import UsageError


class KVCache:
    """The KV cache of a context, or the state of a recurrent model.

    Every method raises :class:`~llamactl.errors.UsageError` for a sequence that the context doesn't have.

    Positions run from 0; a range is ``[start, end)``, with ``None`` for "from the first" and "to the last".
    """

    def __init__(self, handle: Handle, unified: bool) -> None:
        # The pointer, not the context: a cycle would keep both until the garbage collector runs.
        self._handle = handle
        self._unified = unified

    @property
    def _memory(self) -> Any:
        return lib.llama_get_memory(self._handle.pointer)

    def _check(self, *sequences: int) -> None:
        # The engine aborts the process on a sequence that it doesn't know.
        known = lib.llama_n_seq_max(self._handle.pointer)
        for sequence in sequences:
            if not 0 <= sequence < known:
                raise UsageError(f"no sequence {sequence} in a context of {known}", "They count from 0.")

    def clear(self, *, data: bool = True) -> None:
        """Forget all sequences; ``data`` also clears the buffers."""
        lib.llama_memory_clear(self._memory, data)

    def remove(self, sequence: int = -1, start: int | None = None, end: int | None = None) -> bool:
        """Forget a range of a sequence (-1 for all); ``False`` if a part of a sequence can't be removed."""
        if sequence != -1:
            self._check(sequence)
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, _open(start), _open(end)))

    def copy(self, source: int, target: int, start: int | None = None, end: int | None = None) -> None:
        """Let ``target`` share a range of ``source``; without ``kv_unified`` only all of it can be copied."""
        self._check(source, target)
        if not self._unified and source != target and (start or end is not None):
            raise UsageError(
                "a part of a sequence can't be copied to another part of the cache", "Set kv_unified."
            )
        lib.llama_memory_seq_cp(self._memory, source, target, _open(start), _open(end))

    def keep(self, sequence: int) -> None:
        """Forget every other sequence."""
        self._check(sequence)
        # llama_memory_seq_keep looks only at the part of the cache that holds this sequence.
        for other in range(lib.llama_n_seq_max(self._handle.pointer)):
            if other != sequence:
                lib.llama_memory_seq_rm(self._memory, other, -1, -1)

    def shift(self, sequence: int, delta: int, start: int | None = None, end: int | None = None) -> None:
        """Move the positions of a range by ``delta``."""
        self._check(sequence)
        lib.llama_memory_seq_add(self._memory, sequence, _open(start), _open(end), delta)

    @property
    def can_shift(self) -> bool:
        """Whether :meth:`shift` works for this model."""
        return bool(lib.llama_memory_can_shift(self._memory))

    def first(self, sequence: int = 0) -> int | None:
        """Return the smallest position kept of a sequence, ``None`` if it is empty."""
        self._check(sequence)
        position = int(lib.llama_memory_seq_pos_min(self._memory, sequence))
        return None if position < 0 else position

    def last(self, sequence: int = 0) -> int | None:
        """Return the largest position kept of a sequence, ``None`` if it is empty."""
        self._check(sequence)
        position = int(lib.llama_memory_seq_pos_max(self._memory, sequence))
        return None if position < 0 else position


def _open(bound: int | None) -> int:
    return -1 if bound is None else bound
