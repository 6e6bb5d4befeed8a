"""Small captures of a program whose decodes are computed by a device, while other calls wait for them."""

from __future__ import annotations

from typing import Any

from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import Flag, Kind

FUNCTIONS = (
    ("llama_decode", "dlsym", "context:p n_tokens:i tokens:p +"),
    ("llama_sampler_sample", "dlsym", "sampler:p context:p index:i -"),
    ("llama_get_logits_ith", "dlsym", "context:p index:i -"),
    ("llama_synchronize", "dlsym", "context:p +"),
    ("ggml_backend_sched_synchronize", "engine", "scheduler:p -"),
    ("llama_model_load_from_file", "dlsym", "path:s n_gpu_layers:i split_mode:i load_mode:i +"),
    ("llama_init_from_model", "dlsym", "n_ctx:i n_batch:i n_threads:2 +"),
    ("ggml_backend_alloc_ctx_tensors_from_buft", "engine", "tensors:p type:p buffers:s -"),
    ("ggml_backend_buft_alloc_buffer", "engine", "type:p size:u buffers:s -"),
    ("ggml_backend_sched_reserve", "engine", "scheduler:p buffers:s -"),
    ("ggml_backend_buffer_free", "engine", "buffer:p -"),
    ("ggml_backend_sched_free", "engine", "scheduler:p -"),
    ("llama_model_free", "dlsym", "model:p +"),
    ("llama_free", "dlsym", "context:p +"),
    ("llama_tokenize", "dlsym", "text_bytes:i tokens:p room:i text:p -"),
)
NUMBER = {name: index for index, (name, _, _) in enumerate(FUNCTIONS)}
CONTEXT, SCHEDULER = 0xC0, 0x5C
WAIT = "ggml_backend_sched_synchronize"


def metadata(*, waits_seen: bool = True, **more: Any) -> dict[str, Any]:
    """What the recorder says of a ctypes binding; without ``waits_seen`` as of calls caught from outside."""
    table = []
    for name, via, keeps in FUNCTIONS:
        args, text = parse_keeps(keeps)
        caller = "/l/libllama.so" if via == "engine" else "/p/_ctypes.so"
        library = "/l/libggml-base.so" if via == "engine" else "/l/libllama.so"
        shown = name if waits_seen or name != WAIT else "ggml_backend_unseen"
        table.append(Function(shown, caller, library, via, args, text, "i").to_metadata())
    return {
        "functions": [row["name"] for row in table],
        "function_table": table,
        "agent": {"python": "3.11.7", "free_threaded": False},
        "gpu_nodes": [],
        **more,
    }


def call(out: Any, name: str, at_us: float, us: float, *args: int, text: bytes = b"", ret: int = 0) -> None:
    """Add one call."""
    out.add(
        Kind.CALL, at_us, nr=NUMBER[name], args=args, duration=int(us * 1000), text=text, ret=ret,
        flags=0 if FUNCTIONS[NUMBER[name]][1] == "engine" else Flag.GIL_RELEASED,
    )  # fmt: skip


def token(
    out: Any, at_us: float, *, by: str, launch_us: float, wait_us: float, own_us: float, n_tokens: int = 1
) -> float:
    """Add a decode that only starts the work and a call that waits for it; return when that call ends."""
    call(out, "llama_decode", at_us, launch_us, CONTEXT, n_tokens, 0)
    begin = at_us + launch_us + 100
    arguments = (0xAA, CONTEXT, 0) if by == "llama_sampler_sample" else (CONTEXT, 0)
    call(out, by, begin, wait_us + own_us, *arguments, ret=1)
    if wait_us:
        call(out, WAIT, begin + 1, wait_us, SCHEDULER)
    return begin + wait_us + own_us
