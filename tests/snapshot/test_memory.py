"""The memory of a process against what it is known to hold."""

from __future__ import annotations

import mmap
import subprocess
from pathlib import Path

import pytest

from llamactl.snapshot.memory import available_bytes, process_memory

MIB = 2**20
SMAPS = """\
00400000-00500000 r-xp 00000000 08:01 11 /usr/bin/a b
Size: 1024 kB
Rss: 800 kB
Anonymous: 100 kB
Locked: 0 kB
00600000-00700000 rw-p 00000000 00:00 0
Size: 1024 kB
Rss: 400 kB
Anonymous: 400 kB
Locked: 64 kB
VmFlags: rd wr mr mw me lo ac
00800000-00900000 r--s 00000000 08:01 12 /model.gguf
Size: 1024 kB
Rss: 1000 kB
Anonymous: 0 kB
Locked: 500 kB
VmFlags: rd mr me ms lo
00a00000-00b00000 rw-p 00000000 00:00 0 [heap]
Size: 8 kB
Rss: 8 kB
Anonymous: 8 kB
Locked: 0 kB
"""


def test_a_written_smaps(tmp_path: Path) -> None:
    (tmp_path / "proc/5").mkdir(parents=True)
    (tmp_path / "proc/5/smaps").write_text(SMAPS)
    (tmp_path / "proc/5/status").write_text("Name:\ta\nVmHWM:\t    9000 kB\n")
    found = process_memory(5, ["/model.gguf", "/usr/bin/a"], tmp_path)
    kib = 1024
    assert found.resident_bytes == 2208 * kib
    assert found.private_bytes == 508 * kib
    assert found.file_mapped_bytes == 1700 * kib
    assert found.locked_bytes == 1400 * kib
    assert found.peak_resident_bytes == 9000 * kib
    assert found.files.mapped_bytes == 1024 * kib
    assert found.files.resident_bytes == found.files.locked_bytes == 1000 * kib
    assert found.private_bytes + found.file_mapped_bytes == found.resident_bytes
    assert process_memory(5, ["/usr/bin/a b"], tmp_path).files.resident_bytes == 800 * kib


def test_a_file_with_a_newline_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a\nb \\012.gguf"
    path.write_bytes(bytes(MIB))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert mapping[MIB - 1] == 0
        assert process_memory(files=[str(path)]).files.mapped_bytes == MIB
        assert process_memory(files=[str(tmp_path / "a")]).files.mapped_bytes == 0


def test_a_mapping_of_this_process(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8 * MIB))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        before = process_memory(files=[str(path)])
        assert before.files.mapped_bytes == 8 * MIB
        assert sum(mapped[::4096]) == 0
        after = process_memory(files=[str(path)])
        assert after.files.resident_bytes == 8 * MIB
        assert after.file_mapped_bytes >= 8 * MIB
    assert process_memory(files=[str(path)]).files.mapped_bytes == 0


def test_private_memory_grows_with_what_is_written() -> None:
    before = process_memory().private_bytes
    held = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.write(b"x" * (32 * MIB))
    assert 30 * MIB < process_memory().private_bytes - before < 80 * MIB
    held.close()


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(OSError, match="No such"):
        process_memory(process.pid)


def test_available_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:      123 kB\n")
    assert available_bytes(tmp_path) == 123 * 1024
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\n")
    assert available_bytes(tmp_path) is None
    assert (available_bytes() or 0) > MIB
