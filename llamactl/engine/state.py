"""Save what a context knows, and go on from there later (``llama_state_*``)."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llamactl.engine.context import Context
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError


def get(context: Context) -> bytes:
    """Return the state: KV cache and outputs."""
    size = lib.llama_state_get_size(context.pointer)
    data = bytearray(size)
    written = lib.llama_state_get_data(context.pointer, ffi.from_buffer("uint8_t[]", data), size)
    return bytes(memoryview(data)[:written])


def restore(context: Context, data: bytes) -> None:
    """Put a state back that :func:`get` took from a context of the same model and parameters.

    Raises:
        LlamactlError: The engine doesn't accept the data.
        StaleViewError: A buffer of the last decode is still in use.
    """
    context.end_views()
    read = lib.llama_state_set_data(context.pointer, ffi.from_buffer("uint8_t[]", data), len(data))
    if read == 0:
        raise LlamactlError(
            f"a state of {len(data)} bytes doesn't fit this context", "Use the same model and options."
        )


def save(context: Context, path: str | os.PathLike[str], tokens: Sequence[int]) -> None:
    """Write the state and the tokens that led to it to a file.

    Raises:
        LlamactlError: The file can't be written.
    """
    if not lib.llama_state_save_file(context.pointer, os.fsencode(path), list(tokens), len(tokens)):
        raise LlamactlError(
            f"can't write the state to {os.fspath(path)!r}", "Check the directory and the free space."
        )


def load(context: Context, path: str | os.PathLike[str]) -> list[int]:
    """Read a state that :func:`save` wrote and return its tokens.

    Raises:
        LlamactlError: The file can't be read, or is of another model or context.
        StaleViewError: A buffer of the last decode is still in use.
    """
    context.end_views()
    room = context.n_ctx
    tokens = ffi.new("llama_token[]", room)
    count = ffi.new("size_t *")
    if not lib.llama_state_load_file(context.pointer, os.fsencode(path), tokens, room, count):
        raise LlamactlError(
            f"can't read a state from {os.fspath(path)!r}",
            "Check that the same model and context size wrote it.",
        )
    return list(ffi.unpack(tokens, count[0]))
