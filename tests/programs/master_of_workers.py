"""A master that only waits, and two workers that read a file ever again; argv: the file, and a start method.

Prints "ready MASTER WORKER WORKER" when both have begun; ends when stdin does.
"""

import multiprocessing
import os
import sys
import time
from typing import Any


def work(path: str, ready: Any) -> None:
    with open(path, "rb") as file:
        ready.put(os.getpid())
        while os.getppid() != 1:
            os.pread(file.fileno(), 100, 0)
            time.sleep(0.01)


if __name__ == "__main__":
    context: Any = multiprocessing.get_context(sys.argv[2])
    ready = context.Queue()
    workers = [context.Process(target=work, args=(sys.argv[1], ready), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    pids = sorted(ready.get() for _ in workers)
    print("ready", os.getpid(), *pids, flush=True)
    sys.stdin.read()
    for worker in workers:
        worker.terminate()
