"""findings.py good|bad FOLDER: eight requests, with every fault that a finding names, or with none of them.

FOLDER holds binding/libllama.so, other/libllama.so, libgomp.so.1, libomp.so.5 and model.gguf.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

KIND, FOLDER = sys.argv[1], Path(sys.argv[2])
BAD = KIND == "bad"
REQUESTS, REQUEST_S, GROWTH = 8, 0.25, 1 << 20
MMAP = 1


class Batch(ctypes.Structure):
    """struct llama_batch."""

    _fields_ = (("n_tokens", ctypes.c_int32), ("token", ctypes.c_void_p), ("rest", ctypes.c_void_p * 5))


class ModelParams(ctypes.Structure):
    """struct llama_model_params."""

    _fields_ = (
        ("devices", ctypes.c_void_p * 2),
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int32),
        ("load_mode", ctypes.c_int32),
        ("lazy_mode", ctypes.c_int32),
        ("rest", ctypes.c_void_p * 6),
    )


def load_model() -> object:
    """Ask for mmap; read the file, or map it."""
    path = FOLDER / "model.gguf"
    library.llama_model_load_from_file.argtypes = (ctypes.c_char_p, ModelParams)
    library.llama_model_load_from_file(str(path).encode(), ModelParams(load_mode=MMAP))
    with path.open("rb", buffering=0) as file:
        return file.read() if BAD else mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


def lock() -> None:
    """Lock a page; a bad program one that isn't there."""
    libc = ctypes.CDLL(None)
    libc.mlock.argtypes = libc.munlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    page = mmap.mmap(-1, 4096)
    libc.mlock(4096 if BAD else ctypes.addressof(ctypes.c_char.from_buffer(page)), 4096)


def temporary() -> None:
    """Make a temporary file, and remove it."""
    handle, name = tempfile.mkstemp(prefix="llamactl-findings-", dir="/tmp")
    os.write(handle, b"left")
    os.close(handle)
    if not BAD:
        os.unlink(name)


def compute(seconds: float) -> None:
    """Compute in Python."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def decode(tokens: int, milliseconds: int) -> None:
    """Compute for so long."""
    numbers = (ctypes.c_int32 * tokens)()
    busy.value = milliseconds * 1000
    library.llama_decode(None, Batch(tokens, ctypes.addressof(numbers)))


sys.path.insert(0, str(FOLDER))
binding = importlib.import_module("binding")  # Made by the test.

library = binding.load(FOLDER / ("other" if BAD else "binding") / "libllama.so", BAD)
busy = ctypes.c_int32.in_dll(library, "llama_decode_busy_us")
binding.set_threads(library, 4096 if BAD else 1)
if BAD:
    ctypes.CDLL(str(FOLDER / "binding" / "libllama.so")).llama_n_ctx(None)
    ctypes.CDLL(str(FOLDER / "libomp.so.5"))
ctypes.CDLL(str(FOLDER / "libgomp.so.1"))
model = load_model()
lock()
temporary()
kept = []
idle = threading.Event()
for _number in range(REQUESTS):
    begin = time.monotonic()
    decode(6, 5)
    for _ in range(3):
        decode(1, 8)
        if BAD:
            compute(0.004)
    if BAD:
        kept.append(b"x" * GROWTH)
    idle.wait(max(begin + REQUEST_S - time.monotonic(), 0))  # Memory is sampled ten times a second.
