"""The compiled module built from native/snapshot/kernel.cdef.h."""

from typing import Any

ffi: Any
lib: Any
