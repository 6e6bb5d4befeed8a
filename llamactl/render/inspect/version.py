"""What documents of ``llamactl inspect`` call themselves, whatever they are about."""

from __future__ import annotations

from typing import Final

NAME: Final = "inspect"
VERSION: Final = 2
