"""The compiled module built from native/snapshot/proc.cdef.h."""

from typing import Any

ffi: Any
lib: Any
