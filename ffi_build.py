"""Declare the CFFI modules: what C llamactl sees. CMake generates, compiles and links (native.cmake).

Each function below returns the builder of one module; its name is the name of the module without the underscore.
Declarations are cut from our headers.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).resolve().parent / "llamactl" / "native"

ENGINE_PRELUDE = """
#include "ggml-cpu.h"
#include "ggml-rpc.h"

static void llamactl_py_log(int level, const char * text);
static int log_min_level = GGML_LOG_LEVEL_CONT + 1;
static int log_last_level;

/* GGML_LOG_LEVEL_CONT continues the line before it, at that line's level. */
static void log_filtered(enum ggml_log_level level, const char * text, void * user_data) {
    (void) user_data;
    if (level != GGML_LOG_LEVEL_CONT) {
        log_last_level = level;
    }
    if (log_last_level >= log_min_level) {
        llamactl_py_log(level, text);
    }
}
static void log_nothing(enum ggml_log_level level, const char * text, void * user_data) {
    (void) level; (void) text; (void) user_data;
}
void llamactl_log_line(enum ggml_log_level level, const char * text) { log_filtered(level, text, NULL); }
void llamactl_log_forward(int min_level) { log_min_level = min_level; llama_log_set(log_filtered, NULL); }
void llamactl_log_discard(void) { log_min_level = GGML_LOG_LEVEL_CONT + 1; llama_log_set(log_nothing, NULL); }
static const char * llamactl_stamp(void) { return LLAMACTL_VERSION; }
static const char * llamactl_engine_commit(void) { return ENGINE_COMMIT; }
"""


def declarations(header: str) -> str:
    """Return what CFFI is to know of a header in ``llamactl/native``: all of it but the preprocessor's part.

    A ``.cdef.h`` holds what we use of other people's headers, in CFFI's own words.
    """
    text = (NATIVE / header).read_text(encoding="utf-8")
    text = re.sub(r"^#ifdef __cplusplus$.*?^#endif$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^#(?!define \w+ (?:\d+|\.\.\.)$).*\n", "", text, flags=re.MULTILINE)


def _module(name: str, *headers: str, prelude: str = "") -> FFI:
    ffi = FFI()
    ffi.cdef("\n".join(map(declarations, headers)))
    ours = "".join(f'#include "{header}"\n' for header in headers if not header.endswith(".cdef.h"))
    ffi.set_source(name, ours + prelude)
    return ffi


def engine() -> FFI:
    """Return the builder of ``llamactl.engine._engine``, which links llama.cpp."""
    headers = ("engine/llama.cdef.h", "engine/engine.h", "engine/common_api.h")
    return _module("llamactl.engine._engine", *headers, prelude=ENGINE_PRELUDE)


def gguf() -> FFI:
    """Return the builder of ``llamactl.snapshot._gguf``: walking the strings of a GGUF header."""
    return _module("llamactl.snapshot._gguf", "snapshot/gguf.h")


def kernel() -> FFI:
    """Return the builder of ``llamactl.process._kernel``: pages of files and of mappings."""
    return _module("llamactl.process._kernel", "snapshot/kernel.h")


def tracer() -> FFI:
    """Return the builder of ``llamactl.trace._tracer``: the recorders, our C and libc alone."""
    rooms = ("common", "calls", "perf", "breakpoint", "ptrace")
    return _module("llamactl.trace._tracer", *(f"{room}/api.h" for room in rooms))


def proc() -> FFI:
    """Return the builder of ``llamactl.process._proc``: mappings and descriptors of a process."""
    return _module("llamactl.process._proc", "snapshot/proc.h")


def bench() -> FFI:
    """Return the builder of ``llamactl.bench._bench``: counters and the page cache; libc only."""
    return _module("llamactl.bench._bench", "bench/bench.cdef.h", "bench/bench.h")
