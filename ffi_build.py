"""Declare the CFFI modules: what C llamactl sees. CMake generates, compiles and links (native.cmake).

Each function below returns the builder of one module; its name is the name of the module without
the underscore and of its declarations in a room of ``llamactl/native``.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).resolve().parent / "llamactl" / "native"

ENGINE_PRELUDE = """
#include "engine/engine.h"
#include "engine/common_api.h"
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


def _module(declarations: str, package: str, prelude: str) -> FFI:
    path = NATIVE / declarations
    ffi = FFI()
    ffi.cdef(path.read_text(encoding="utf-8"))
    ffi.set_source(f"llamactl.{package}._{path.name.removesuffix('.cdef.h')}", prelude)
    return ffi


def engine() -> FFI:
    """Return the builder of ``llamactl.engine._engine``, which links llama.cpp."""
    return _module("engine/engine.cdef.h", "engine", ENGINE_PRELUDE)


def gguf() -> FFI:
    """Return the builder of ``llamactl.snapshot._gguf``: walking the strings of a GGUF header."""
    return _module("snapshot/gguf.cdef.h", "snapshot", '#include "snapshot/gguf.h"\n')


def kernel() -> FFI:
    """Return the builder of ``llamactl.process._kernel``: pages of files and of mappings."""
    return _module("snapshot/kernel.cdef.h", "process", '#include "snapshot/kernel.h"\n')


def tracer() -> FFI:
    """Return the builder of ``llamactl.trace._tracer``: the recorders, our C and libc alone."""
    return _module("ptrace/tracer.cdef.h", "trace", '#include "ptrace/api.h"\n')


def proc() -> FFI:
    """Return the builder of ``llamactl.process._proc``: mappings and descriptors of a process."""
    return _module("snapshot/proc.cdef.h", "process", '#include "snapshot/proc.h"\n')


def bench() -> FFI:
    """Return the builder of ``llamactl.bench._bench``: counters and the page cache; libc only."""
    return _module("bench/bench.cdef.h", "bench", '#include "bench/bench.h"\n')
