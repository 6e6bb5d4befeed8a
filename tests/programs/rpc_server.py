"""Serve this machine's CPU with the engine's own RPC server, on the port given, until it is killed."""

import sys
from pathlib import Path
from typing import Any

from cffi import FFI

ffi = FFI()
ffi.cdef(
    "void *ggml_backend_dev_by_name(const char *);"
    "void ggml_backend_rpc_start_server(const char *, const char *, size_t, size_t, void **);"
)
folder = Path(sys.argv[1])
ggml: Any = ffi.dlopen(str(folder / "libggml.so"))
server: Any = ffi.dlopen(str(folder / "libggml-rpc.so"))
devices = ffi.new("void *[1]", [ggml.ggml_backend_dev_by_name(b"CPU")])
server.ggml_backend_rpc_start_server(f"127.0.0.1:{sys.argv[2]}".encode(), ffi.NULL, 1, 1, devices)
