"""On what a model lies: in memory already, where no page of it can be dropped, or on a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamactl.process.files.mounts import FileSystem, file_system_of
from llamactl.render.inspect.memory import file_system_text
from llamactl.render.inspect.model import model_text
from llamactl.render.inspect.process import process_text
from llamactl.snapshot.gguf import model
from llamactl.snapshot.process.snapshot import inspect_process

Start = Callable[..., "subprocess.Popen[str]"]

MOUNTS = r"""21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:40 / /data rw - xfs /dev/sdb rw
23 22 0:41 / /data/fast rw - tmpfs tmpfs rw
24 21 0:42 / /dev/hugepages rw - hugetlbfs none rw
25 21 0:43 / /with\040space rw - ramfs none rw
"""


@pytest.mark.parametrize(
    ("path", "device", "expected"),
    [
        ("/home/a.gguf", None, FileSystem("ext4", in_memory=False, swappable=False)),
        ("/data/a.gguf", None, FileSystem("xfs", in_memory=False, swappable=False)),
        ("/data/fast/a.gguf", None, FileSystem("tmpfs", in_memory=True, swappable=True)),
        ("/data/faster/a.gguf", None, FileSystem("xfs", in_memory=False, swappable=False)),
        ("/dev/hugepages/a", None, FileSystem("hugetlbfs", in_memory=True, swappable=False)),
        ("/with space/a", None, FileSystem("ramfs", in_memory=True, swappable=False)),
        ("/moved/a.gguf", "00:29", FileSystem("tmpfs", in_memory=True, swappable=True)),
        ("/data/a.gguf", "ff:99", FileSystem("xfs", in_memory=False, swappable=False)),
    ],
)
def test_the_mount_tells(tmp_path: Path, path: str, device: str | None, expected: FileSystem) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS, encoding="utf-8")
    assert file_system_of(path, tmp_path, device) == expected


def test_without_mounts_nothing_is_known(tmp_path: Path) -> None:
    assert file_system_of("/a.gguf", tmp_path) is None


def test_what_that_means_for_pages() -> None:
    assert file_system_text(FileSystem("ext4", in_memory=False, swappable=False)) == "on ext4"
    assert file_system_text(FileSystem("ramfs", in_memory=True, swappable=False)).endswith(
        "dropped, nor swapped"
    )


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory on tmpfs, told by df."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        pytest.skip("/dev/shm can't be written")
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(shared)], capture_output=True, text=True, check=True
    ).stdout.strip()
    if kind != "tmpfs":
        pytest.skip(f"/dev/shm is {kind}")
    directory = Path(tempfile.mkdtemp(dir=shared))
    yield directory
    shutil.rmtree(directory)


def test_a_process_and_a_file(start: Start, in_memory: Path) -> None:
    path = in_memory / "model.gguf"
    path.write_bytes(b"GGUF" + bytes((1 << 20) - 4))
    snapshot = inspect_process(start("map_model.py", str(path)).pid, ("memory",))
    assert snapshot.memory is not None
    (found,) = snapshot.memory.models
    assert found.file_system == FileSystem("tmpfs", in_memory=True, swappable=True)
    assert found.droppable_bytes == 0
    text = " ".join(process_text(snapshot, ("memory",)).split())
    assert "on tmpfs: in memory already, its pages can't be dropped, only swapped" in text
    told = model.snapshot(str(path))
    assert told.parts[0].file_system == found.file_system
    assert "file system tmpfs: in memory already" in " ".join(model_text(told).split())
