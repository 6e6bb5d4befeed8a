"""agent_daemons.py LIBRARY: end while daemon threads are inside of calls, callbacks and waits for the GIL."""

from __future__ import annotations

import ctypes
import sys
import threading
import time

library = ctypes.CDLL(sys.argv[1])
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)


def sleep() -> None:
    """Sleep in C for ever."""
    while True:
        library.llama_sleep_us(200)


def call_back() -> None:
    """Be called back for ever."""
    function = Callback(library.llama_n_ctx)
    while True:
        library.llama_call_back(function, 3)


for target in (sleep, sleep, sleep, call_back, call_back):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.05)
print("end")
sys.exit(5)
