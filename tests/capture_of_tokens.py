"""A small capture of a ctypes binding that loads a model, reads a prompt and makes tokens."""

from __future__ import annotations

from typing import Any

from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import Flag, Kind

DECODE, LOAD, INIT, LOGITS = range(4)
KEEPS = {
    "llama_decode": "context:p n_tokens:i tokens:p +",
    "llama_model_load_from_file": "path:s n_gpu_layers:i split_mode:i load_mode:i +",
    "llama_init_from_model": "n_ctx:u n_batch:u n_threads:2 +",
    "llama_get_logits_ith": "context:p index:i -",
}


def threads(count: int, batch: int) -> int:
    """n_threads and n_threads_batch as a context's parameters hold them: beside each other."""
    return count | batch << 32


def metadata(**more: Any) -> dict[str, Any]:
    """What the recorder says of a ctypes binding."""
    table = []
    for name, text in KEEPS.items():
        args, kept = parse_keeps(text)
        table.append(
            Function(name, "/p/_ctypes.so", "/l/libllama.so", "dlsym", args, kept, "i").to_metadata()
        )
    return {
        "functions": list(KEEPS),
        "function_table": table,
        "agent": {"python": "3.11.7", "free_threaded": False},
        "cpu_budget": {"threads": 2, "limited_by": "quota"},
        "gpu_nodes": [],
        **more,
    }


def generate(out: Any, *, flag: Flag = Flag.GIL_RELEASED, python_us: int = 500, tokens: int = 5) -> None:
    """A prompt, then tokens of 8 ms with ``python_us`` between them."""
    out.add(Kind.CALL, 0, nr=LOAD, args=(99, 0, 1), duration=1_000_000, text=b"/m/tiny.gguf", flags=flag)
    out.add(Kind.CALL, 2000, nr=INIT, args=(512, 512, threads(2, 2)), duration=1_000_000, flags=flag)
    out.add(
        Kind.CALL, 10_000, nr=DECODE, args=(1, 6, 0), duration=8_000_000, flags=flag, text2=b"/a/app.py:7:go"
    )
    for token in range(tokens):
        at = 20_000 + token * (8000 + python_us)
        out.add(
            Kind.CALL, at, nr=DECODE, args=(1, 1, 0), duration=8_000_000, flags=flag, text2=b"/a/app.py:9:go"
        )
