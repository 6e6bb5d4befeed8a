"""A real ggml device without hardware: Vulkan on the CPU by Mesa's lavapipe (``make test-vulkan``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llamactl.engine.library import directory


@pytest.fixture(scope="session")
def device() -> dict[str, str]:
    """The environment in which the engine has one device, ``Vulkan0``."""
    library = os.environ.get("LLAMACTL_TEST_VULKAN")
    if not library or not Path(library).exists():
        pytest.skip("no Vulkan backend was built (make test-vulkan does it)")
    return {
        "GGML_BACKEND_PATH": library,
        "GGML_VK_VISIBLE_DEVICES": "0",
        "LLAMA_CPP_LIB_PATH": str(directory()),
    }
