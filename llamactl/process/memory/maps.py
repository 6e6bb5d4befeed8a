"""Which object lies where in a process: executable mappings, load addresses, unused bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.memory.address_ranges import AddressRanges
from llamactl.process.proc_text import maps_lines
from llamactl.process.reach import mapped_file


@dataclass(frozen=True, slots=True)
class Piece:
    """One mapping of a file; ``path``, ``device`` and ``inode`` are as ``maps`` has them."""

    start: int
    end: int
    offset: int
    executable: bool
    path: str
    device: str = ""
    inode: int = 0


class ProcessMaps:
    """The file mappings of a process at one moment.

    Args:
        pid: The process.
        data: What its ``/proc/PID/maps`` said; None to read it now.

    Raises:
        LlamactlError: The process is gone, or may not be looked at.
    """

    def __init__(self, pid: int, data: bytes | None = None) -> None:
        self.pid = pid
        if data is None:
            try:
                data = proc_pid.read(pid, "maps")
            except OSError as error:
                raise LlamactlError(f"can't read the mappings of process {pid}: {error.strerror}") from error
            if not data:
                raise LlamactlError(f"can't read the mappings of process {pid}: it has ended")
        self.pieces = [
            Piece(
                line.start,
                line.end,
                line.offset,
                line.rights[2:3] == "x",
                os.fsdecode(line.path),
                line.device,
                line.inode,
            )  # fmt: skip
            for line in maps_lines(data)
            if line.path.startswith(b"/")
        ]
        self._readable: dict[str, Path] = {}
        self._ranges = AddressRanges((piece.start, piece.end) for piece in self.pieces)

    def find(self, address: int) -> Piece | None:
        """Return the file mapping that holds an address; None for anonymous memory and nothing."""
        index = self._ranges.find(address)
        return None if index is None else self.pieces[index]

    def objects(self) -> list[str]:
        """Return the paths with executable mappings, each once, in the order of addresses."""
        return list(dict.fromkeys(piece.path for piece in self.pieces if piece.executable))

    def executable(self, path: str) -> list[Piece]:
        """Return the executable mappings of an object."""
        return [piece for piece in self.pieces if piece.executable and piece.path == path]

    def readable(self, path: str) -> Path:
        """Return where we can read exactly the file that is mapped under this path (see ``reach``)."""
        if path not in self._readable:
            piece = next((piece for piece in self.pieces if piece.path == path), None)
            process = proc_pid.place(self.pid)
            found = piece and mapped_file(process, path, piece.device, piece.inode, (piece.start, piece.end))
            self._readable[path] = Path(found) if found else process / "root" / path.lstrip("/")
        return self._readable[path]
