"""exchange_asyncio.py thread|block MODEL N: N tokens from an asyncio program, off its event loop or on it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from llama_cpp import Llama

HOW, MODEL, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
llama = Llama(MODEL, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, seed=1)


def generate() -> str:
    """Return the text."""
    answer: Any = llama("Once upon a time", max_tokens=COUNT, temperature=0)
    return str(answer["choices"][0]["text"])


async def tick() -> None:
    """Be what a blocked loop keeps waiting."""
    while True:
        await asyncio.sleep(0.01)


async def main() -> None:
    """Generate once, beside the ticks."""
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    text = generate() if HOW == "block" else await asyncio.to_thread(generate)
    await asyncio.sleep(0.02)
    ticking.cancel()
    print(text)


asyncio.run(main())
