"""Two threads that both want Python's GIL until each has waited for it a few times."""

from __future__ import annotations

import sys
import threading

sys.setswitchinterval(1e-4)
turns = [0, 0]


def work(mine: int) -> None:
    """Count until the other thread has counted, too, many times over."""
    seen = -1
    while turns[mine] < 200:
        if turns[1 - mine] != seen or turns[1 - mine] >= 200:
            seen = turns[1 - mine]
            turns[mine] += 1


threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
