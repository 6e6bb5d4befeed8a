"""agent_gil.py LIBRARY held|released|wait: crossings whose GIL is known. Prints the truth as JSON."""

from __future__ import annotations

import ctypes
import json
import sys
import threading

LIBRARY, WHAT = sys.argv[1:3]
released = ctypes.CDLL(LIBRARY)
held = ctypes.PyDLL(LIBRARY)


def sleep_long() -> None:
    go.wait()
    held.llama_sleep_us(300_000)


go = threading.Event()
if WHAT in ("held", "released"):
    library = held if WHAT == "held" else released
    for _ in range(41):
        library.llama_sleep_us(500)
    print(json.dumps({}))
elif WHAT == "wait":
    other = threading.Thread(target=sleep_long)
    other.start()
    go.set()
    released.llama_sleep_us(100_000)
    other.join()
    first, second = (ctypes.c_int64 * 64).in_dll(released, "llama_sleep_ends")[:2]
    main = threading.main_thread().native_id
    print(json.dumps({"main": main, "other": other.native_id, "waited_ns": second - first}))
