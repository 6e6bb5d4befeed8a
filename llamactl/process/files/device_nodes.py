"""The device nodes of GPU drivers: NVIDIA's, AMD's for computing, and those of the kernel's DRM."""

from __future__ import annotations

from pathlib import Path

GPU_NODES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
"""How their paths begin."""
GPU_NODES_BYTES = tuple(map(str.encode, GPU_NODES))


def gpu_nodes() -> list[str]:
    """Return the nodes of this machine through which a program computes."""
    patterns = ("nvidia[0-9]*", "kfd", "dri/renderD*")
    return sorted(str(node) for pattern in patterns for node in Path("/dev").glob(pattern))
