"""What a sentence is made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Figures = dict[str, Any]
Sentence = Callable[[Figures], str]
