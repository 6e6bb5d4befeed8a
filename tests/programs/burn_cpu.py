"""Use CPU time, itself or in a child process, in a control group of one's own.

usage: burn_cpu.py GROUP MILLISECONDS self|child|attach. With ``attach`` it says ready and waits for a line first.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

group, milliseconds, who = sys.argv[1:]


def burn() -> None:
    Path(group, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    end = time.process_time() + int(milliseconds) / 1000
    while time.process_time() < end:  # A system call: seldom, since a tracer may stop the program at each.
        for _ in range(20_000):
            pass


if who == "attach":
    print("ready", flush=True)
    sys.stdin.readline()
if who == "child":
    child = os.fork()
    if child == 0:
        burn()
        os._exit(0)
    os.waitpid(child, 0)
else:
    burn()
