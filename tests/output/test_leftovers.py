"""What SIGKILL left behind is swept by the next start; what is in use, young or somebody else's isn't."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from llamactl.output.leftovers import temporary_room

PREFIX = ".room-"
HOLDS = """
import sys
from llamactl.output.leftovers import temporary_room
with temporary_room(sys.argv[1], sys.argv[2]) as room:
    (room / "part").write_bytes(b"x")
    print(room, flush=True)
    sys.stdin.read()
"""


def made_old(path: Path) -> None:
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))


def test_a_room_of_a_killed_process_is_swept_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    processes, rooms = [], []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, PREFIX, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        processes.append(process)
        rooms.append(Path(process.stdout.readline().strip()))
    processes[0].kill()
    processes[0].wait()
    for room in rooms:
        made_old(room)
    with temporary_room(PREFIX, tmp_path) as mine:
        assert mine.stat().st_mode & 0o777 == 0o700
        assert not rooms[0].exists()
        assert (rooms[1] / "part").exists()
    assert not mine.exists()
    processes[1].communicate()
    assert not rooms[1].exists()


def test_what_only_looks_like_one_stays(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (f"{PREFIX}mine", f"x{PREFIX}abcdefgh", f"{PREFIX}ABCDEFGH")]
    for path in kept:
        path.mkdir()
        made_old(path)
    young = tmp_path / f"{PREFIX}abcdefgh"
    young.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"")
    link = tmp_path / f"{PREFIX}linklink"
    link.symlink_to(outside)
    with temporary_room(PREFIX, tmp_path):
        pass
    assert all(path.exists() for path in (*kept, young, link, outside / "file"))
