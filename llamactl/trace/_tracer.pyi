"""The compiled recorder; its declarations are in native/ptrace/tracer.cdef.h."""

from typing import Any

ffi: Any
lib: Any
