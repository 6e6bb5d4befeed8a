"""A device in software: the process uses one, and no driver of a GPU counts anything for it."""

from __future__ import annotations

import os

from llamactl.render.inspect.engine import gpu_lines
from llamactl.snapshot.process.gpu_use import find_gpu_use


def test_a_driver_that_computes_on_the_cpu_is_named() -> None:
    mapped = [("/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so", 1 << 20), ("/l/libggml-vulkan.so", 1 << 20)]
    use = find_gpu_use(os.getpid(), ["libggml-base", "libggml-cpu", "libggml-vulkan"], [], mapped)
    assert use.software == ("lavapipe (Vulkan)",)
    text = " ".join(" ".join(gpu_lines(use)).split())
    assert "lavapipe (Vulkan)" in text
    assert "memory of a device in software is this process's own" in text


def test_other_libraries_are_no_device() -> None:
    use = find_gpu_use(os.getpid(), ["libggml-base", "libggml-cpu"], [], [("/l/libvulkan.so.1", 4096)])
    assert use.software == ()
    assert "software" not in " ".join(gpu_lines(use))
