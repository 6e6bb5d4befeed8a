"""exchange_plain.py CDLL|PyDLL LIBRARY MODEL N: N decodes through plain ctypes, beside a second thread."""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import Any

KIND, LIBRARY, MODEL, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
library = getattr(ctypes, KIND)(LIBRARY)


def bind(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function with its types."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


def main() -> None:
    """Decode the same token again and again, the best of the first logits as the next one."""
    from llama_cpp import llama_cpp as types

    pointer, integer = ctypes.c_void_p, ctypes.c_int32
    model_of = bind("llama_model_load_from_file", pointer, ctypes.c_char_p, types.llama_model_params)
    context_of = bind("llama_init_from_model", pointer, pointer, types.llama_context_params)
    batch_of = bind("llama_batch_get_one", types.llama_batch, ctypes.POINTER(integer), integer)
    decode = bind("llama_decode", integer, pointer, types.llama_batch)
    logits_of = bind("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), pointer, integer)
    bind("llama_log_set", None, pointer, pointer)(None, None)
    parameters = bind("llama_context_default_params", types.llama_context_params)()
    parameters.n_ctx, parameters.n_threads, parameters.n_threads_batch = 256, 1, 1
    model = model_of(MODEL.encode(), bind("llama_model_default_params", types.llama_model_params)())
    context = context_of(model, parameters)
    token = (integer * 1)(1)
    for _ in range(COUNT):
        assert decode(context, batch_of(token, 1)) == 0
        row = logits_of(context, -1)
        token[0] = max(range(64), key=row.__getitem__)


ended = threading.Event()


def wait_shortly() -> None:
    """Ask for the GIL every few milliseconds, until the work is done."""
    while not ended.wait(0.002):
        pass


other = threading.Thread(target=wait_shortly)
other.start()
try:
    main()
finally:
    ended.set()
    other.join()
