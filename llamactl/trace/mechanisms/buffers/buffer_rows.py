"""The buffers that llama.cpp hands out and takes in: where they lie, how large they are, how often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.crossings import FLOAT_BYTES, TOKEN_BYTES, vocabulary_size
from llamactl.trace.mechanisms.interface.exchange import Exchange, finished, starts
from llamactl.trace.mechanisms.mapping.address_space import Mapping
from llamactl.trace.mechanisms.mapping.mapping_index import MappingIndex
from llamactl.trace.mechanisms.mapping.mapping_rows import role_of

IN, OUT = "in", "out"
EMBEDDING_SIZES = ("llama_model_n_embd", "llama_n_embd")
LOOKED_UP = 64
"""Addresses of one function whose mappings are looked up, the most frequent ones."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BufferRow:
    """One kind of buffer of one function.

    Attributes:
        name: The function.
        count: Calls with such a buffer.
        what: logits, embeddings, state, tokens or text.
        direction: "out": llama.cpp wrote it or handed it out; "in": it reads it.
        address: The most frequent one, in the program.
        places: How many different addresses.
        largest_bytes: None when no size is known.
        memory: Roles of the mappings it lies in, the most frequent first: heap, anonymous (malloc's large
            blocks, and numpy's and ctypes' with them), stack, library and so on.
    """

    name: str
    count: int
    what: str
    direction: str
    address: int
    places: int
    largest_bytes: int | None
    memory: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """Calls with a buffer: 64-bit addresses as they are, sizes in bytes or None."""

    name: str
    what: str
    direction: str
    address: IntArray
    bytes: IntArray | None
    start: IntArray
    pid: IntArray


def buffer_rows(
    exchange: Exchange, mappings: Sequence[Mapping], name: Callable[[int], bytes]
) -> list[BufferRow]:
    """Return the rows, those handed out first.

    Args:
        exchange: The calls.
        mappings: All that were seen, ended ones too.
        name: Returns a mapping's name by number.
    """
    seen = [one for one in _seen(exchange) if len(one.address)]
    where = _Ledger(mappings, name)
    rows = [_row(one, where) for one in seen]
    return sorted(rows, key=lambda row: (row.direction == IN, -row.count, row.name, row.what))


def _row(seen: Seen, where: _Ledger) -> BufferRow:
    addresses, first, counts = np.unique(seen.address, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    roles: dict[str, int] = {}
    for index in order[:LOOKED_UP].tolist():
        role = where.role(int(seen.pid[first[index]]), int(addresses[index]), int(seen.start[first[index]]))
        roles[role] = roles.get(role, 0) + int(counts[index])
    return BufferRow(
        name=seen.name,
        count=len(seen.address),
        what=seen.what,
        direction=seen.direction,
        address=int(addresses[order[0]]),
        places=len(addresses),
        largest_bytes=None if seen.bytes is None else int(seen.bytes.max()),
        memory=tuple(sorted(roles, key=lambda role: -roles[role])),
    )


class _Ledger:
    """Says what the memory at an address was at a moment."""

    def __init__(self, mappings: Sequence[Mapping], name: Callable[[int], bytes]) -> None:
        self._index = MappingIndex(mappings)
        self._name = name

    def role(self, pid: int, address: int, moment: int) -> str:
        mapping = self._index.at(pid, address, moment)
        return UNKNOWN if mapping is None else role_of(mapping, self._name(mapping.name))


def _seen(exchange: Exchange) -> list[Seen]:
    width = embedding_size(exchange)
    vocabulary = vocabulary_size(exchange)
    found: list[Seen] = []
    for name, what, floats in (
        ("llama_get_logits", "logits", vocabulary),
        ("llama_get_logits_ith", "logits", vocabulary),
        ("llama_get_embeddings", "embeddings", width),
        ("llama_get_embeddings_ith", "embeddings", width),
        ("llama_get_embeddings_seq", "embeddings", width),
    ):
        calls = _calls(exchange, name)
        calls = calls[calls["ret"] != 0]
        size = None if floats is None else np.full(len(calls), floats * FLOAT_BYTES, np.int64)
        found.append(Seen(name, what, OUT, calls["ret"].astype(np.int64), size, starts(calls), _pid(calls)))
    for name, what, direction, label, count, unit in ARGUMENTS:
        found += _of_argument(exchange, name, what, direction, label, count, unit)
    for name in ("llama_decode", "llama_encode"):
        found += _batches(exchange, name, width)
    return found


RESULT = ""
ARGUMENTS = (
    ("llama_state_get_data", "state", OUT, "buffer", RESULT, 1),
    ("llama_state_set_data", "state", IN, "buffer", "size", 1),
    ("llama_state_seq_get_data", "state", OUT, "buffer", RESULT, 1),
    ("llama_state_seq_set_data", "state", IN, "buffer", "size", 1),
    ("llama_tokenize", "tokens", OUT, "tokens", RESULT, TOKEN_BYTES),
    ("llama_tokenize", "text", IN, "text", "text_bytes", 1),
    ("llama_detokenize", "tokens", IN, "tokens", "n_tokens", TOKEN_BYTES),
    ("llama_detokenize", "text", OUT, "text", RESULT, 1),
    ("llama_token_to_piece", "text", OUT, "buffer", RESULT, 1),
)
"""Function, what, direction, the argument with the address, the one with the size (or the result), its unit."""


def _of_argument(
    exchange: Exchange, name: str, what: str, direction: str, label: str, count: str, unit: int
) -> list[Seen]:
    calls = _calls(exchange, name)
    address = exchange.argument(calls, label)
    if address is None:
        return []
    sizes = calls["ret"].astype(np.int64) if count == RESULT else exchange.argument(calls, count)
    used = address != 0
    known = None if sizes is None else np.maximum(sizes[used], 0) * unit
    return [Seen(name, what, direction, address[used], known, starts(calls[used]), _pid(calls[used]))]


def _batches(exchange: Exchange, name: str, width: int | None) -> list[Seen]:
    """A batch has tokens or, with the topmost bit of the address set, embeddings."""
    calls = _calls(exchange, name)
    address, count = exchange.argument(calls, "tokens"), exchange.argument(calls, "n_tokens")
    if address is None or count is None:
        return []
    tokens, vectors = address > 0, address < 0
    size = None if width is None else count[vectors] * width * FLOAT_BYTES
    vector = address[vectors] & np.int64(2**63 - 1)
    return [
        Seen(
            name,
            "tokens",
            IN,
            address[tokens],
            count[tokens] * TOKEN_BYTES,
            starts(calls[tokens]),
            _pid(calls[tokens]),
        ),
        Seen(name, "embeddings", IN, vector, size, starts(calls[vectors]), _pid(calls[vectors])),
    ]


def _pid(calls: NDArray[np.void]) -> IntArray:
    found: IntArray = calls["pid"].astype(np.int64)
    return found


def _calls(exchange: Exchange, name: str) -> NDArray[np.void]:
    found: NDArray[np.void] = exchange.calls[exchange.named(name) & finished(exchange.calls)]
    return found


def embedding_size(exchange: Exchange) -> int | None:
    """Return the number of floats in an embedding if the program asked for it; None when it didn't."""
    asked = exchange.calls[exchange.named(*EMBEDDING_SIZES) & finished(exchange.calls)]
    sizes = np.unique(asked["ret"][asked["ret"] > 0])
    return int(sizes[0]) if len(sizes) == 1 else None
