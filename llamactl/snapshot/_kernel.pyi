"""The compiled module built from kernel.cdef.h."""

from typing import Any

ffi: Any
lib: Any
