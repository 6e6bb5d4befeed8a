"""The texts of /proc with names that hold every byte: what a kernel writes, and what a hostile name makes of it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.process.cgroup import hierarchy
from llamactl.process.files.sockets import unix_lines
from llamactl.process.proc_text import comm_name, maps_lines, proc_lines, stat_fields, status_fields
from llamactl.snapshot.memory import process_memory

LINE_ENDS = ["\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""All that Python's ``splitlines`` takes for a line's end."""


@pytest.mark.parametrize("end", LINE_ENDS[1:])
def test_only_a_newline_ends_a_line(end: str) -> None:
    assert proc_lines(f"Name:\ta{end}b\nPid:\t1\n".encode()) == [f"Name:\ta{end}b", "Pid:\t1"]


@pytest.mark.parametrize("end", LINE_ENDS[1:])
def test_a_name_forges_no_field(end: str) -> None:
    data = f"Name:\tx{end}Threads:\t99\nState:\tS\nThreads:\t2\n".encode()
    assert status_fields(data)["Threads"] == "2"
    assert status_fields(b"") == {}


@pytest.mark.parametrize(
    "name", ["plain", "a b", ") R 1 (", "a\nb", "x) y", "(", ")", ") ", "\r", *LINE_ENDS, "\udcff"]
)
def test_stat_after_a_name_of_any_bytes(name: str) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    assert stat_fields(b"12 (" + raw + b") S 3 4 5\n") == (name, ["S", "3", "4", "5"])


def test_stat_of_a_process_that_has_ended() -> None:
    with pytest.raises(ValueError, match="without a name"):
        stat_fields(b"")


def test_every_name_of_one_byte_is_read_back_from_the_kernel() -> None:
    libc = ctypes.CDLL(None)
    before = Path("/proc/self/comm").read_bytes()
    try:
        for byte in range(1, 256):
            name = bytes([byte, 40, byte, 41, byte])
            libc.prctl(15, ctypes.c_char_p(name))
            root = Path(f"/proc/self/task/{os.getpid()}")
            found, fields = stat_fields((root / "stat").read_bytes())
            assert os.fsencode(found) == name
            assert fields[0] in "RS"
            assert int(fields[1]) == os.getppid()
            assert comm_name((root / "comm").read_bytes()) == name
            assert int(status_fields((root / "status").read_bytes())["Pid"]) == os.getpid()
    finally:
        libc.prctl(15, ctypes.c_char_p(before.rstrip(b"\n")))


def test_maps_line_of_a_name_of_any_bytes() -> None:
    head = b"7f00-8f00 r-xp 00001000 fd:01 42                         "
    names = [b"/a b", b"/a  b ", b"/a\rb", b"/a\x85b\xff", b"/tmp/x (deleted)", b"[heap]"]
    for name in names:
        (line,) = maps_lines(head + name + b"\n")
        assert line == (0x7F00, 0x8F00, "r-xp", 0x1000, "fd:01", 42, name)
    (line,) = maps_lines(head + rb"/a\012b" + b"\n")
    assert line.path == b"/a\nb"
    (line,) = maps_lines(b"7f00-8f00 rw-p 00000000 00:00 0 \n")
    assert line.path == b""


def test_maps_cut_off_in_the_middle() -> None:
    assert maps_lines(b"7f00-8f00 r-xp 00001000 fd:01 42  /a\n7f00-8f") != []
    assert maps_lines(b"7f00-8f") == []
    assert maps_lines(b"") == []


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a b ", "a\x85b", "a\vRss: 9 kB"])
def test_a_mapped_file_of_any_name_is_found_in_the_kernels_own_maps(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(8192))
    code = (
        "import mmap,sys;f=open(sys.argv[1],'rb');m=mmap.mmap(f.fileno(),8192,access=mmap.ACCESS_READ);"
        "print(m[0],flush=True);sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout
    child.stdout.readline()
    try:
        lines = maps_lines(Path(f"/proc/{child.pid}/maps").read_bytes())
        assert [line for line in lines if line.path == os.fsencode(path)]
        memory = process_memory(child.pid, [str(path)])
        assert memory.files.mapped_bytes == 8192
    finally:
        child.communicate()


def test_a_control_group_with_a_carriage_return(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/a\rb\x0bc\n")
    (tmp_path / "proc/self/mountinfo").write_bytes(
        b"30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 20 0:27 / /mnt/x\ry rw - ext4 /dev/x rw\n"
    )
    found = hierarchy("cpu", root=tmp_path)
    assert found is not None
    assert found.group.name == "a\rb\x0bc"


def test_unix_sockets_with_newlines_in_their_names() -> None:
    lines = [
        "0000000000000000: 00000002 00000000 00010000 0001 01 4242 /run/x",
        "0000000000000000: 00000002 00000000 00000000 0002 01   17 @a",
        "b: 1 2 3 4 5 6 7 8",
        "",
        "0000000000000000: 00000002 00000000 00000000 0001 03 18",
    ]
    found = unix_lines(lines)
    assert [(entry["inode"], entry["path"]) for entry in found] == [
        ("4242", "/run/x"), ("17", "@a\nb: 1 2 3 4 5 6 7 8\n"), ("18", ""),
    ]  # fmt: skip
