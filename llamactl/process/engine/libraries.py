"""Tell from a library's file name what it is for."""

from __future__ import annotations

import re

AGENT = "libllamactl-agent.so"
"""Ours, in programs that ``llamactl trace`` has started."""

# The first prefix that fits decides. Wheels rename libraries, but keep the beginning of the name.
_PREFIXES = (
    (AGENT, "agent"),
    ("libllama", "engine"), ("libggml", "engine"), ("libmtmd", "engine"), ("libwhisper", "engine"),
    ("libcuda", "cuda"), ("libcublas", "cuda"), ("libnvidia", "cuda"), ("libnccl", "cuda"),
    ("libcudnn", "cuda"), ("libnvrtc", "cuda"), ("libnvJitLink", "cuda"),
    ("libamdhip64", "rocm"), ("libhip", "rocm"), ("librocblas", "rocm"), ("libhsa", "rocm"),
    ("librocm", "rocm"), ("libamd_comgr", "rocm"),
    ("libvulkan", "vulkan"), ("libOpenCL", "opencl"), ("libze_", "level-zero"), ("libsycl", "sycl"),
    ("libpython", "python"),
    ("libopenblas", "blas"), ("libscipy_openblas", "blas"), ("libmkl", "blas"), ("libblas", "blas"),
    ("libcblas", "blas"), ("libblis", "blas"), ("libflexiblas", "blas"),
    ("libgomp", "openmp"), ("libomp", "openmp"), ("libiomp", "openmp"),
)  # fmt: skip

# A library of the engine by its name; wheels put a hash behind it.
_ENGINE = re.compile(r"(lib(?:llama|mtmd|whisper|ggml(?:-[a-z0-9_]+)*?))(?:-[0-9a-f]{8})?\.so")


def engine_library(name: str) -> str:
    """Return which of the engine's own libraries a file name is, such as ``libggml-cpu``; empty for none.

    A library that holds an engine inside, whatever it is called, is none of these.
    """
    match = _ENGINE.match(name)
    return match[1] if match else ""


def is_library(name: str) -> bool:
    """Tell whether a file name is that of a shared library (``libc.so.6``, ``_x.abi3.so``)."""
    return name.endswith(".so") or ".so." in name


def library_role(name: str) -> str:
    """Return what the library of this file name is for; ``library`` when nothing more is known."""
    for prefix, role in _PREFIXES:
        if name.startswith(prefix):
            return role
    if ".cpython-" in name or name.endswith(".abi3.so"):
        return "extension"
    return "library"


def is_python(name: str) -> bool:
    """Tell whether a program's file name is that of CPython (``python``, ``python3.13t``)."""
    return name.startswith("python") and not name.removeprefix("python").rstrip("t").strip("0123456789.")
