"""The compiled module: the one place that imports it, after checking that it fits this source.

``ffi`` and ``lib`` are CFFI's (API mode); their functions release the GIL while C runs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llamactl import __version__
from llamactl.errors import LlamactlError

if TYPE_CHECKING:
    from llamactl.engine._engine import CData

ACCEPTED = "LLAMACTL_ENGINE_COMMIT"
"""The variable that names another commit whose engine was found to fit: ``bench --against`` sets it."""
REBUILD = "Build it with `pip install .` from the repository's root."

try:
    from llamactl.engine import _engine
except ImportError as error:
    raise LlamactlError(f"the compiled engine can't be loaded ({error})", REBUILD) from error

ffi = _engine.ffi
lib = _engine.lib


def text(pointer: CData) -> str:
    """Return a C string as ``str``; bytes that aren't UTF-8 become U+FFFD. NULL gives ``""``."""
    if pointer == ffi.NULL:
        return ""
    return bytes(ffi.string(pointer)).decode("utf-8", "replace")


def check_stamp(compiled: str, source: str) -> None:
    """Compare the version compiled into the module with the one of the Python source around it.

    Raises:
        LlamactlError: They differ: Python and C may disagree about their interface.
    """
    if compiled != source:
        raise LlamactlError(
            f"the compiled engine is of llamactl {compiled}, the Python code of {source}", REBUILD
        )


def check_library(loaded: str, compiled: str) -> None:
    """Compare the commit of the libllama in this process with the one that was compiled against.

    Raises:
        LlamactlError: Another library was picked up, for example through ``LD_LIBRARY_PATH``.
    """
    if loaded not in {compiled, os.environ.get(ACCEPTED)}:
        raise LlamactlError(
            f"the loaded libllama is commit {loaded}, llamactl was compiled for {compiled}",
            "Look for another libllama.so in LD_LIBRARY_PATH or LD_PRELOAD.",
        )


check_stamp(text(lib.llamactl_stamp()), __version__)
check_library(text(lib.ggml_commit()), text(lib.llamactl_engine_commit()))
