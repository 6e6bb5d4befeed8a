"""Read the logits of boundary_llama.c in one of several ways: boundary_reads.py LIBRARY WAY TOKENS.

Says "ready" when the library is loaded and waits for a line, then makes the tokens, says "done" and the sum
of what it chose, and waits for the end of its input. Like llama-cpp-python it keeps the logits as a pointer.
It asks for the logits once before the first decode, unless the way ends in "-at-once".
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

AT_ONCE = "-at-once"


CACHE_LINE = 64
aligned: list[bool] = []
"""Of each copy, whether it lies at the beginning of a cache line."""


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
    ]


def load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    library.llama_decode.argtypes = [ctypes.c_void_p, Batch]
    library.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
    library.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
    library.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
    library.llama_sampler_sample.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]
    return library


def copy_aligned(view: np.ndarray) -> np.ndarray:
    """Copy to the beginning of a cache line."""
    room = np.empty(view.nbytes + CACHE_LINE, np.uint8)
    begin = -room.ctypes.data % CACHE_LINE
    copied = room[begin : begin + view.nbytes].view(view.dtype)
    np.copyto(copied, view)
    return copied


def choose(way: str, library: ctypes.CDLL, size: int) -> int:
    if way == "sampler":
        return int(library.llama_sampler_sample(None, None, -1))
    pointer = library.llama_get_logits_ith(None, -1)
    if way == "list":
        values = pointer[:size]
        return int(values.index(max(values)))
    if way == "element":
        return int(pointer[0])
    view = np.ctypeslib.as_array(pointer, shape=(size,))
    if way in {"numpy", "numpy-aligned"}:
        view = view.copy() if way == "numpy" else copy_aligned(view)
        aligned.append(view.ctypes.data % CACHE_LINE == 0)
    return int(np.argmax(view))


def main() -> int:
    path, way, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
    library = load(path)
    print("ready", flush=True)
    sys.stdin.readline()
    size = library.llama_vocab_n_tokens(None)
    if not way.endswith(AT_ONCE):
        library.llama_get_logits_ith(None, -1)
    way = way.removesuffix(AT_ONCE)
    print("armed", flush=True)  # The address is known: a watchpoint can be set now.
    sys.stdin.readline()
    token = (ctypes.c_int32 * 1)(1)
    total = 0
    for _ in range(tokens):
        library.llama_decode(None, Batch(n_tokens=1, token=token))
        if way == "stale":
            total += int(STALE[0])
        else:
            total += choose(way, library, size)
    print("done", total, sum(aligned), flush=True)
    sys.stdin.readline()
    return 5


if __name__ == "__main__":
    if sys.argv[2] == "stale":
        STALE = load(sys.argv[1]).llama_get_logits_ith(None, -1)
    sys.exit(main())
