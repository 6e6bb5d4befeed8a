"""GPU backends that are libraries of their own: loaded when a device is asked for, not before.

They lie beside the engine (``-C cmake.define.LLAMACTL_BACKENDS=vulkan``), or ``GGML_BACKEND_PATH`` names one, as it
does for llama.cpp's own programs. A library of a backend brings its driver's along: nothing of it is loaded while no
layer is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llamactl.engine import library
from llamactl.engine.log import captured, last_error
from llamactl.engine.native import ffi, lib

NAMED = "GGML_BACKEND_PATH"
"""The variable of ggml's for a backend that lies elsewhere (``ggml-backend-reg.cpp``)."""
LINKED = frozenset({"libggml-base.so", "libggml-cpu.so", "libggml-rpc.so"})
"""What the engine is linked with."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A backend's library that can't be loaded.

    Attributes:
        path: The library.
        reason: What the engine said; empty for nothing.
    """

    path: str
    reason: str


def beside() -> tuple[Path, ...]:
    """Return the backends' libraries that there are for this engine, whether they are loaded or not."""
    found = sorted(path for path in library.directory().glob("libggml-*.so") if path.name not in LINKED)
    named = os.environ.get(NAMED)
    return (*found, Path(named)) if named else tuple(found)


@cache
def load() -> tuple[Refused, ...]:
    """Load them once, and return those that can't be."""
    library.start()
    refused = []
    for path in beside():
        with captured() as lines:
            loaded = lib.ggml_backend_load(os.fsencode(path))
        if loaded == ffi.NULL:
            refused.append(Refused(os.fspath(path), last_error(lines)))
    return tuple(refused)


def why_no_gpu() -> str:
    """Return why the engine sees no GPU, as far as that can be told; call it after :func:`load`."""
    known = [name for name in library.backends() if name not in {"CPU", "RPC", "BLAS"}]
    broken = [f"{Path(one.path).name} can't be loaded: {one.reason or 'no reason given'}" for one in load()]
    if broken:
        return "; ".join(broken)
    if known:
        return f"the backend {', '.join(known)} finds no device"
    return f"it has no backend for one, only {', '.join(sorted(library.backends()))}"
