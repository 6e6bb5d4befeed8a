"""A JSON document in a file that a person names: bounded, and strict where Python isn't."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

LARGEST_BYTES = 64 << 20
"""More than any report of ours; parsed it takes some ten times as much memory."""


def read_json(path: str) -> Any:
    """Return the value of a JSON file.

    Raises:
        OSError: It can't be read.
        ValueError: It isn't JSON, or too large; the message says which.
    """
    return parse_json(read_bounded(path))


def read_bounded(path: str) -> bytes:
    """Return a file's bytes.

    Raises:
        OSError: It can't be read.
        ValueError: It is too large.
    """
    with Path(path).open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"it is larger than {LARGEST_BYTES >> 20} MiB")
    return data


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Python also takes NaN and numbers without end, JSON doesn't.

    Raises:
        ValueError: It isn't JSON.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError, TypeError):
        raise ValueError("it isn't JSON") from None


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} isn't a number")
    return value
