"""Call llama.cpp's function until the kernel has caught a call by a uprobe, then a known number of times.

Arguments: the library. The first caught call gives the process a mapping of that name (see proc_pid_maps(5)); the
recorder switches its events on only when all are there, so the calls go on for a second.
"""

import ctypes
import sys
import time

library = ctypes.CDLL(sys.argv[1])
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    with open("/proc/self/maps") as maps:
        if "[uprobes]" in maps.read():
            break
    library.llama_n_ctx(0)
deadline = time.monotonic() + 1
while time.monotonic() < deadline:
    library.llama_n_ctx(0)
for _ in range(5):
    library.llama_decode(1, 1)
