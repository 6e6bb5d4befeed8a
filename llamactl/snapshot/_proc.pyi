"""The compiled module built from proc.cdef.h."""

from typing import Any

ffi: Any
lib: Any
