"""What a sentence is made from, and what it is: the cause with its figures, then what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Figures = dict[str, Any]
Said = tuple[str, str]
"""The finding, and its remedy (empty where there is none), both with their full stops."""
Sentence = Callable[[Figures], Said]
