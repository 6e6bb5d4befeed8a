"""llama.cpp's library ``common``, which its own programs are made of: calling it, and the small things of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError


class RefusedError(LlamactlError):
    """What ran refuses, by its own words: a chat template's ``raise_exception``."""


def span(data: bytes, keep: list[Any]) -> Any:
    """Return a ``struct llamactl_span`` of bytes, which live as long as ``keep`` does."""
    keep.append(ffi.from_buffer("char[]", data))
    return {"data": keep[-1], "size": len(data)}


def parts(answer: Any, count: int) -> list[bytes]:
    """Return the texts of an answer, and free it.

    Args:
        answer: ``struct llamactl_answer *``.
        count: How many.

    Raises:
        RefusedError: What ran refuses.
        MemoryError: It wants more memory than there is.
        LlamactlError: It failed; the message says why.
    """
    try:
        status = lib.llamactl_answer_status(answer)
        if status == lib.LLAMACTL_NO_MEMORY:
            raise MemoryError
        found = [_bytes(lib.llamactl_answer_part(answer, part)) for part in range(count)]
        if status != lib.LLAMACTL_DONE:
            why = _bytes(lib.llamactl_answer_part(answer, 0)).decode("utf-8", "replace")
            raise (RefusedError if status == lib.LLAMACTL_REFUSED else LlamactlError)(why)
        return found
    finally:
        lib.llamactl_answer_free(answer)


def _bytes(part: Any) -> bytes:
    return bytes(ffi.buffer(part.data, part.size)) if part.size else b""


def process_escapes(text: str) -> str:
    r"""Return a text with ``\n``, ``\t``, ``\x41`` and so on as what they name, as llama.cpp's programs read it.

    Example:
        >>> process_escapes(r"one\ntwo")
        'one\ntwo'
    """
    keep: list[Any] = []
    data = text.encode("utf-8", "surrogateescape")
    answer = lib.llamactl_escapes(ffi.new("struct llamactl_span *", span(data, keep))[0])
    return parts(answer, 1)[0].decode("utf-8", "surrogateescape")


def schema_to_grammar(schema: str | Mapping[str, Any] | bool) -> str:
    """Return a grammar (GBNF) that lets only JSON of a schema pass (json-schema.org).

    Args:
        schema: The schema, as JSON text or as what that text means.

    Raises:
        UsageError: It isn't JSON, or a schema that llama.cpp can't make a grammar of.

    Example:
        >>> grammar = schema_to_grammar({"type": "object", "properties": {"age": {"type": "integer"}}})
        >>> sampler = Sampler(model, SamplingParameters(grammar=grammar))
    """
    keep: list[Any] = []
    data = (schema if isinstance(schema, str) else json.dumps(schema)).encode("utf-8", "surrogateescape")
    answer = lib.llamactl_schema_grammar(ffi.new("struct llamactl_span *", span(data, keep))[0])
    try:
        return parts(answer, 1)[0].decode()
    except LlamactlError as error:
        raise UsageError(
            f"no grammar can be made of the JSON schema: {error.message}", "Check it: json-schema.org."
        ) from error
