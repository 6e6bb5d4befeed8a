"""Call a libllama that ends the process. Usage: ends.py LIBRARY HOW [worker]: worker does it in a forked child.

HOW is ends.c's, or "exit": with status 3. A worker that waits (4) is killed by its parent.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

library, how, *rest = sys.argv[1:]


def end() -> None:
    if how == "exit":
        sys.exit(3)
    ctypes.CDLL(library).llama_decode(None, int(how))


if rest:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"x")
        end()
    os.read(reading, 1)
    if how == "4":
        # It is in the call once it sleeps there.
        while Path(f"/proc/{child}/syscall").read_text().split()[0] not in ("34", "73"):  # pause, ppoll
            os.sched_yield()
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
else:
    end()
