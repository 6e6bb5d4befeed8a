"""The compiled module built from gguf.cdef.h."""

from typing import Any

ffi: Any
lib: Any
