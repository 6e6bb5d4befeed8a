"""Mappings and totals against maps, smaps_rollup and pmap's source."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from llamactl.process.memory.smaps import parse_smaps
from llamactl.snapshot.process.snapshot import ProcessSnapshot, inspect_process

Start = Callable[..., "subprocess.Popen[str]"]

ENTRY = b"""%x-%x rw-p 00000000 00:00 0 %b
Size:                  8 kB
KernelPageSize:        4 kB
Rss:                   %d kB
Swap:                  0 kB
%bVmFlags: rd wr
"""


def look(pid: int) -> ProcessSnapshot:
    return inspect_process(pid, ("mappings", "memory"))


def rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def test_mappings_are_those_of_maps(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(bytes(100_000))
    target = start("map_model.py", str(tmp_path / "file.bin"))
    mappings = look(target.pid).mappings
    assert mappings is not None
    theirs = [line.split(None, 5) for line in Path(f"/proc/{target.pid}/maps").read_text().splitlines()]
    ours = [(f"{m.start:08x}-{m.end:08x}", m.permissions, m.offset, m.inode) for m in mappings]
    assert ours == [(part[0], part[1], int(part[2], 16), int(part[4])) for part in theirs]


def test_totals_are_those_of_the_kernel(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(bytes(100_000))
    target = start("map_model.py", str(tmp_path / "file.bin"))
    memory, true = look(target.pid).memory, rollup(target.pid)
    assert memory is not None
    assert memory.resident_bytes == true["Rss"]
    assert memory.private_bytes == true["Private_Clean"] + true["Private_Dirty"]
    assert memory.anonymous_bytes == true["Anonymous"]
    assert memory.swap_bytes == true["Swap"]
    # Others that map the same libraries come and go, and each mapping's share is rounded down.
    assert abs(memory.pss_bytes - true["Pss"]) < 512 * 1024
    assert sum(total.resident_bytes for total in memory.roles) == memory.resident_bytes


def test_roles(start: Start, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"GGUF" + bytes(2 << 20))
    target = start("map_model.py", str(tmp_path / "blob"))
    mappings = look(target.pid).mappings
    assert mappings is not None
    roles = {m.path.rpartition("/")[2] or m.role: m.role for m in mappings}
    # Without its ending a model is known by its first bytes, as in a cache of downloads.
    assert roles["blob"] == "weights"
    assert roles["[heap]"] == "heap"
    assert roles["[stack]"] == "stack"
    assert "python" in roles.values()
    assert next(role for name, role in roles.items() if name.startswith("libc.so")) == "library"


def test_all_mappings_of_a_file() -> None:
    data = b"".join(ENTRY % (at * 4096, at * 4096 + 8192, b"/a b", at, b"") for at in range(1, 50, 2))
    maps = parse_smaps(data)
    assert maps.measures[b"Rss"] == [at * 1024 for at in range(1, 50, 2)]
    assert set(maps.path) == {"/a b"}
    assert not any(maps.huge_pages)


def test_numbers_at_their_bounds() -> None:
    entry = ENTRY.replace(b"rw-p 00000000 00:00", b"--xs ffffffff000 fd:1f") % (
        2**64 - 4096,
        2**64 - 1,
        b"x",
        9**9,
        b"",
    )
    maps = parse_smaps(entry.replace(b"rd wr", b"rd ht wr"))
    assert (maps.start, maps.end) == ([2**64 - 4096], [2**64 - 1])
    assert (maps.permissions, maps.offset, maps.device) == (["--xs"], [0xFFFFFFFF000], ["fd:1f"])
    assert maps.measures[b"Rss"] == [9**9 * 1024]
    assert maps.huge_pages == [1]


def test_lines_that_only_some_mappings_have_change_nothing() -> None:
    data = b"".join(
        ENTRY % (at * 4096, at * 4096 + 8192, b"", at, b"THPeligible:    1\n" if at % 3 else b"")
        for at in range(1, 50, 2)
    )
    assert parse_smaps(data).measures[b"Rss"] == [at * 1024 for at in range(1, 50, 2)]


def test_a_file_cut_off_in_the_middle_gives_what_is_there() -> None:
    whole = b"".join(ENTRY % (at * 4096, at * 4096 + 8192, b"", at, b"") for at in (1, 3))
    maps = parse_smaps(whole[: whole.rindex(b"Swap")])
    assert maps.measures[b"Rss"] == [1024, 3072]
    assert parse_smaps(b"").start == []


def test_a_newline_in_a_path() -> None:
    maps = parse_smaps(ENTRY % (4096, 12288, rb"/tmp/a\012b", 1, b""))
    assert maps.path == ["/tmp/a\nb"]
