"""The compiled module built from native/snapshot/gguf.cdef.h."""

from typing import Any

ffi: Any
lib: Any
