"""Count the calls from Python into the engine, by function: CFFI's functions are builtins, so Python tells."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PREFIXES = ("llama_", "ggml_", "llamactl_")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count inside the block, in this thread. It slows Python down: never around what is timed.

    Yields:
        Calls by the name of the C function; it grows as calls are made.
    """
    calls: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__.startswith(PREFIXES):
            calls[function.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)
