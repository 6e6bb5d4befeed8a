"""Write the time to a file every 10 ms, and read stdin: each line is answered by reading again.

Usage: marks.py FILE. Prints "ready" when both threads run; ends when stdin does.
"""

import os
import sys
import threading
import time

out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
begun = threading.Event()


def mark() -> None:
    while True:
        os.write(out, b"%d\n" % time.monotonic_ns())
        begun.set()
        time.sleep(0.01)


threading.Thread(target=mark, daemon=True).start()
begun.wait()
print("ready", flush=True)
while os.read(0, 1):
    pass
