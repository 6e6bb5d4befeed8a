"""agent_gil.py LIBRARY held|released|wait: crossings whose GIL is known. Prints the truth as JSON."""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time

LIBRARY, WHAT = sys.argv[1:3]
released = ctypes.CDLL(LIBRARY)
held = ctypes.PyDLL(LIBRARY)


def sleep_long() -> None:
    released.llama_await_sleeper()
    held.llama_sleep_us(300_000)


if WHAT in ("held", "released"):
    library = held if WHAT == "held" else released
    for _ in range(41):
        library.llama_sleep_us(500)
    print(json.dumps({}))
elif WHAT == "wait":
    other = threading.Thread(target=sleep_long)
    other.start()
    released.llama_sleep_us(100_000)
    back_ns = time.monotonic_ns()
    other.join()
    first, second = (ctypes.c_int64 * 64).in_dll(released, "llama_sleep_ends")[:2]
    main = threading.main_thread().native_id
    truth = {"waited_ns": back_ns - first, "held_ns": second - first}
    print(json.dumps({"main": main, "other": other.native_id, **truth}))
