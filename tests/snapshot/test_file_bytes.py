"""Reading a file of somebody who may cut it short meanwhile."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from llamactl.process.elf import read_elf
from llamactl.process.file_bytes import FileBytes
from llamactl.trace.record.agent.library import find_agent


def test_slices_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    data = FileBytes(path)
    assert (len(data), data[:3], data[250:1000], data[300:400]) == (
        256,
        b"\0\1\2",
        bytes(range(250, 256)),
        b"",
    )
    assert data.unpack("<H", 2) == (0x0302,)
    with pytest.raises(struct.error):
        data.unpack("<Q", 250)


def test_a_library_that_is_cut_short_meanwhile_ends_nothing(tmp_path: Path) -> None:
    """With a mapping this was SIGBUS: llamactl ended, and the program that it had started with it."""
    path = tmp_path / "library.so"
    path.write_bytes(find_agent().read_bytes())
    elf = read_elf(path)
    assert elf is not None
    os.truncate(path, 0)
    assert elf.needed == []
    assert not elf.contains(b"llama")
    assert elf.symbol("la_version") is None


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        FileBytes(tmp_path / "pipe")
