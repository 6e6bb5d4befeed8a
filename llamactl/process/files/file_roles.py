"""What a file is for, as far as its name, its first bytes and the process's settings tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamactl.process.engine.libraries import is_library, library_role
from llamactl.process.files.device_nodes import GPU_NODES

if TYPE_CHECKING:
    from llamactl.process.files.sockets import Socket

TEMPORARY = ("/tmp/", "/var/tmp/", "/dev/shm/")  # noqa: S108 - looked at, not written
TEMPORARY_BYTES = tuple(map(str.encode, TEMPORARY))
_PYTHON_ENDINGS = (".py", ".pyc", ".zip", ".pth")
_GGUF_MAGIC = b"GGUF"
# Below this, a file without the ending .gguf isn't opened to see whether it is a model.
_SMALLEST_UNNAMED_MODEL = 1 << 20
_DEFAULT_RPC_PORT = "50052"  # ggml-rpc's own default
_ENDPOINT = re.compile(r"[\w.\-\[\]:]+:\d+")


@dataclass(slots=True)
class RoleFinder:
    """Finds roles, and remembers which files are models: ``magic`` reads a file's first four bytes."""

    magic: Callable[[int], bytes]
    temporary: tuple[str, ...] = TEMPORARY
    rpc_ports: frozenset[str] = frozenset()
    _models: dict[tuple[int, int], bool] = field(default_factory=dict)

    def open_file(self, fd: int, kind: str, mode: str, path: str, size: int, key: tuple[int, int]) -> str:
        """Return the role of something that has a place in a file system; ``key`` is device and inode."""
        if kind == "device":
            return _device_role(path)
        if kind in ("file", "memfd"):
            return self._regular(fd, kind, mode, path, size, key)
        return "standard stream" if fd < 3 else ""

    def _regular(self, fd: int, kind: str, mode: str, path: str, size: int, key: tuple[int, int]) -> str:
        name = path.rpartition("/")[2]
        if self._is_model(fd, name, size, key):
            return "model weights"
        if fd in (1, 2) and mode != "r":
            return "log"
        if kind == "memfd" or path.startswith(self.temporary):
            return "temporary file"
        if is_library(name):
            role = library_role(name)
            return "library" if role == "library" else f"library ({role})"
        if name.endswith(".log") or path.startswith("/var/log/"):
            return "log"
        return "Python" if name.endswith(_PYTHON_ENDINGS) else ""

    def _is_model(self, fd: int, name: str, size: int, key: tuple[int, int]) -> bool:
        if not name.endswith(".gguf") and size < _SMALLEST_UNNAMED_MODEL:
            return False
        if key not in self._models:
            self._models[key] = self.magic(fd) == _GGUF_MAGIC
        return self._models[key]

    def socket(self, entry: Socket) -> str:
        """Return the role of a socket: an RPC connection is known by a port named in the settings."""
        ports = {end.rpartition(":")[2] for end in (entry.local, entry.remote) if ":" in end}
        if self.rpc_ports & ports and entry.protocol.startswith("tcp"):
            return "RPC connection"
        return "server" if entry.state == "listening" else ""


def _device_role(path: str) -> str:
    if path.startswith(GPU_NODES):
        return "GPU device"
    return "terminal" if path.startswith(("/dev/pts/", "/dev/tty")) else ""


def temporary_places(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories, each with a slash at its end, where the process keeps temporary files."""
    own = environment.get("TMPDIR", "").rstrip("/")
    return (*TEMPORARY, own + "/") if own.startswith("/") else TEMPORARY


def rpc_ports(command: Sequence[str], environment: Mapping[str, str]) -> frozenset[str]:
    """Return the ports named by ``--rpc`` or ``LLAMA_ARG_RPC``, and those of an RPC server's own line."""
    texts = [environment.get("LLAMA_ARG_RPC", "")]
    for at, word in enumerate(command):
        if word == "--rpc" and at + 1 < len(command):
            texts.append(command[at + 1])
        elif word.startswith("--rpc="):
            texts.append(word.removeprefix("--rpc="))
    ports = {end.rpartition(":")[2] for text in texts for end in _ENDPOINT.findall(text)}
    if command and "rpc-server" in command[0]:
        ports.add(_DEFAULT_RPC_PORT)
    return frozenset(ports)
