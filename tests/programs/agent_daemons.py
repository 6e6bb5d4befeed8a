"""agent_daemons.py LIBRARY: end while daemon threads are inside of calls and waits for the GIL.

No callbacks: CPython itself crashes now and then when one is on its way into an interpreter that ends.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable

library = ctypes.CDLL(sys.argv[1])


def for_ever(call: Callable[[], int], under_way: threading.Event) -> None:
    """Call, and say so once it has been done a few times."""
    for _ in range(5):
        call()
    under_way.set()
    while True:
        call()


calls = [*[lambda: library.llama_sleep_us(200)] * 3, *[lambda: library.llama_n_ctx(3)] * 2]
events = [threading.Event() for _ in calls]
for call, event in zip(calls, events, strict=True):
    threading.Thread(target=for_ever, args=(call, event), daemon=True).start()
for event in events:
    event.wait()
print("end")
sys.exit(5)
