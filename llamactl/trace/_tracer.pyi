"""The compiled recorder; its declarations are in native/tracer.cdef.h."""

from typing import Any

ffi: Any
lib: Any
