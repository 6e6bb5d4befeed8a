"""Start a service and end at once. The service lives until the pipe argv[1] is opened for writing and closed."""

import os
import sys

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        with open(sys.argv[1], "rb") as pipe:
            pipe.read()
    os._exit(0)
os.wait()
