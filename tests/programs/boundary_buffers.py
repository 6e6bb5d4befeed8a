"""Use every kind of buffer of boundary_llama.c, by plain ctypes: boundary_buffers.py LIBRARY list|view|stale TIMES.

Prints where the buffers were, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys

import numpy as np

TEXT = b"hello buffers"
STATE_BYTES = 70000


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


def main() -> int:
    library, way, times = ctypes.CDLL(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    library.llama_encode.argtypes = [ctypes.c_void_p, Batch]
    library.llama_get_embeddings_seq.restype = ctypes.POINTER(ctypes.c_float)
    for name in ("llama_state_get_data", "llama_state_set_data"):
        function = getattr(library, name)
        function.restype, function.argtypes = (
            ctypes.c_size_t,
            [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t],
        )
    width = library.llama_model_n_embd(None)
    tokens = (ctypes.c_int32 * 64)()
    count = library.llama_tokenize(None, TEXT, len(TEXT), tokens, len(tokens), False, False)
    vectors = np.zeros((3, width), np.float32)
    room = mmap.mmap(-1, STATE_BYTES)
    state = (ctypes.c_uint8 * STATE_BYTES).from_buffer(room)
    kept = []
    old = library.llama_get_embeddings_seq(None, 0)
    for _ in range(times):
        library.llama_encode(None, Batch(n_tokens=count, token=tokens))
        if way == "stale":
            kept.append(old[0])
            continue
        row = library.llama_get_embeddings_seq(None, 0)
        kept.append(row[:width] if way == "list" else float(np.ctypeslib.as_array(row, (width,)).sum()))
    pointer = vectors.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    library.llama_encode(None, Batch(n_tokens=3, embd=pointer))
    for _ in range(times):
        size = library.llama_state_get_data(None, ctypes.addressof(state), STATE_BYTES)
        kept.append(room[:size])
    library.llama_state_set_data(None, ctypes.addressof(state), STATE_BYTES)
    facts = {
        "tokens": ctypes.addressof(tokens),
        "vectors": vectors.ctypes.data,
        "state": ctypes.addressof(state),
        "embedding": ctypes.addressof(old.contents),
        "width": width,
    }
    print(json.dumps(facts))
    return 5


if __name__ == "__main__":
    sys.exit(main())
