"""Where model files are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

HUB_ORDER = (
    ("LLAMA_CACHE", ""),
    ("HF_HUB_CACHE", ""),
    ("HUGGINGFACE_HUB_CACHE", ""),
    ("HF_HOME", "hub"),
    ("XDG_CACHE_HOME", "huggingface/hub"),
    ("HOME", ".cache/huggingface/hub"),
)


def hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of models from Hugging Face, found in llama.cpp's order (``common/hf-cache.cpp``)."""
    for name, below in HUB_ORDER:
        if value := environment.get(name):
            return Path(value) / below
    return Path.home() / ".cache/huggingface/hub"


def own_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the default model: ``LLAMA_CACHE``, else llamactl's own below the XDG cache."""
    if value := environment.get("LLAMA_CACHE"):
        return Path(value) / "llamactl"
    if value := environment.get("XDG_CACHE_HOME"):
        return Path(value) / "llamactl"
    return Path.home() / ".cache/llamactl"
