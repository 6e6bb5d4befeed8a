"""Residency as llamactl says it, against fincore, mincore and smaps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llamactl.process import _kernel, kernel

MIB = 1024 * 1024
PROGRAM = Path(__file__).parents[2] / "programs" / "map_part.py"


@pytest.fixture
def half_cached(tmp_path: Path) -> Iterator[int]:
    """A file of 8 MiB whose second half was dropped from the page cache."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(8 * MIB))
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 4 * MIB, 4 * MIB, os.POSIX_FADV_DONTNEED)
    if mincore(fd) == 8 * MIB:
        pytest.skip("the file system of the temporary folder doesn't drop pages on request")
    yield fd
    os.close(fd)


def fincore(fd: int) -> int:
    if shutil.which("fincore") is None:
        pytest.skip("fincore (util-linux) isn't installed")
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", f"/proc/self/fd/{fd}"]
    return int(subprocess.run(command, capture_output=True, check=True, pass_fds=[fd]).stdout)


def mincore(fd: int, offset: int = 0, length: int = 0) -> int:
    pages = _kernel.ffi.new("struct llamactl_file_pages *")
    assert _kernel.lib.llamactl_mincore(fd, offset, length, pages) == 0
    return int(pages.cached) * kernel.PAGE_BYTES


def test_the_page_cache_is_what_fincore_says(half_cached: int) -> None:
    found = kernel.page_cache(half_cached)
    assert found is not None
    assert found.cached_bytes == fincore(half_cached) == mincore(half_cached)
    assert 0 < found.cached_bytes < 8 * MIB
    assert found.length_bytes == 8 * MIB


@pytest.mark.parametrize(("offset", "length"), [(0, MIB), (3 * MIB, 2 * MIB), (7 * MIB, 0), (5 * MIB, 100)])
def test_a_part_of_a_file_is_counted_alone(half_cached: int, offset: int, length: int) -> None:
    found = kernel.page_cache(half_cached, offset, length)
    assert found is not None
    assert found.cached_bytes == mincore(half_cached, offset, length)


def test_mincore_takes_over_where_cachestat_is_missing(
    half_cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = kernel.page_cache(half_cached)

    class WithoutCachestat:
        llamactl_mincore = staticmethod(_kernel.lib.llamactl_mincore)

        @staticmethod
        def llamactl_cachestat(*_: object) -> int:
            return 38

    class Module:
        ffi = _kernel.ffi
        lib = WithoutCachestat

    monkeypatch.setattr(kernel, "_kernel", Module)
    fallback = kernel.page_cache(half_cached)
    assert direct is not None
    assert fallback is not None
    assert fallback.source == "mincore"
    assert fallback.cached_bytes == direct.cached_bytes
    assert fallback.dirty_bytes is None


def test_an_empty_file_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with path.open("rb") as file:
        assert kernel.page_cache(file.fileno()) == kernel.PageCache(0, 0, 0, 0, "cachestat")


# mincore would call every page of somebody else's file resident; that must not be taken for the truth.
UNPRIVILEGED = """
import os, sys
sys.path[:0] = sys.argv[2].split(os.pathsep)
from llamactl.process import kernel, _kernel
fd = os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
pages = _kernel.ffi.new("struct llamactl_file_pages *")
print(_kernel.lib.llamactl_mincore(fd, 0, 0, pages))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_somebody_elses_file_is_unknown_rather_than_resident(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB))
    path.chmod(0o644)
    command = [sys.executable, "-c", UNPRIVILEGED, str(path), os.pathsep.join(sys.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1"]


@pytest.fixture
def mapper(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A process that maps a file of 16 MiB and has touched the first 5."""
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(16 * MIB))
    command = [sys.executable, str(PROGRAM), str(path), str(5 * MIB)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid, path
        process.communicate(b"")


def smaps(pid: int) -> list[tuple[int, int, str, int, int]]:
    """Return (start, end, name, Rss, Swap) of every mapping."""
    found = []
    for block in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text())[1:]:
        head = block.splitlines()[0].split(maxsplit=5)
        start, end = (int(part, 16) for part in head[0].split("-"))
        rss, swap = (int(re.search(rf"(?m)^{key}:\s+(\d+)", block)[1]) * 1024 for key in ("Rss", "Swap"))  # type: ignore[index]
        found.append((start, end, head[5] if len(head) > 5 else "", rss, swap))
    return found


@pytest.mark.parametrize("can_scan", [True, False])
def test_every_mapping_is_resident_as_smaps_says(mapper: tuple[int, Path], can_scan: bool) -> None:
    pid, path = mapper
    if can_scan and not kernel.probe_pagemap_scan().works:
        pytest.skip("this kernel has no PAGEMAP_SCAN")
    seen = []
    with kernel.Pagemap(pid) as pagemap:
        pagemap._can_scan = can_scan
        for start, end, name, rss, swap in smaps(pid):
            if name in ("[vsyscall]", "[vvar]", "[vvar_vclock]", "[vdso]"):
                continue
            found = pagemap.resident(start, end)
            assert found.source == ("pagemap_scan" if can_scan else "pagemap")
            # The entries of the file don't show the page of zeros, which isn't counted in Rss.
            zeros = 0 if can_scan else 64 * kernel.PAGE_BYTES
            assert rss <= found.present_bytes <= rss + zeros, name
            assert found.swapped_bytes == swap, name
            seen += [(rss, found.file_bytes)] if name == str(path) else []
    assert len(seen) == 1
    assert 5 * MIB <= seen[0][0] == seen[0][1]


def test_a_process_that_has_ended_is_an_error_not_a_figure(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start, end, *_ = smaps(process.pid)[0]
    with kernel.Pagemap(process.pid) as pagemap:
        process.communicate(b"\n")
        try:
            found = pagemap.resident(start, end)
        except OSError as error:
            assert error.errno
        else:
            assert found.present_bytes == 0
    with pytest.raises(OSError, match="No such file"):
        kernel.Pagemap(process.pid)


def test_the_probes_agree_with_the_calls(half_cached: int) -> None:
    pages = _kernel.ffi.new("struct llamactl_file_pages *")
    error = _kernel.lib.llamactl_cachestat(half_cached, 0, 0, pages)
    assert kernel.probe_cachestat() == kernel.Ability(error == 0, error)
    scan = kernel.probe_pagemap_scan()
    assert scan.works == (scan.error == 0)
