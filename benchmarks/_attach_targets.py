"""Programs to attach to. Each prints one line per round, always the same one: whatever changes it shows.

Usage: _attach_targets.py faults | llama-cpp-python MODEL
"""

from __future__ import annotations

import json
import mmap
import sys
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND_BYTES = 16 << 20


def faults() -> str:
    """Touch fresh pages, one fault each, and return a checksum of what was written."""
    with mmap.mmap(-1, ROUND_BYTES) as memory:
        for at in range(0, ROUND_BYTES, mmap.PAGESIZE):
            memory[at] = at >> 12 & 0xFF
        return str(zlib.crc32(memory))


def generate(model: str) -> Callable[[], str]:
    """Return a function that generates the same text again and again."""
    from llama_cpp import Llama

    llm = Llama(model, n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)

    def one() -> str:
        llm.reset()  # Nothing is taken over from the round before: each computes the same.
        return str(llm("Tell a story.", max_tokens=40, temperature=0.0)["choices"][0]["text"])

    return one


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    one_round = faults if kind == "faults" else generate(*rest)
    while True:
        print(json.dumps(one_round()), flush=True)
