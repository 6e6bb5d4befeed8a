"""Out-of-memory kills by control group of both versions, on made trees; and how an ending reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind, Task
from llamactl.trace.mechanisms.end.endings import EndCause
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record.ending.oom_kills import OomKills

Build = Callable[..., Capture]
MAIN, CHILD = 1000, 1001


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_2(tmp_path: Path) -> None:
    write(tmp_path / "proc/7/cgroup", "0::/a/b\n")
    write(tmp_path / "proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    write(tmp_path / "proc/vmstat", "nr_free_pages 5\noom_kill 3\n")
    inner = tmp_path / "sys/fs/cgroup/a/b/memory.events"
    write(inner, "low 0\noom 0\noom_kill 1\n")
    kills = OomKills(7, tmp_path)
    write(inner, "low 0\noom 2\noom_kill 3\n")
    write(tmp_path / "proc/vmstat", "oom_kill 5\n")
    assert kills.since() == {str(inner.parent): 2, "": 2}


def test_version_1_and_nothing_at_all(tmp_path: Path) -> None:
    write(tmp_path / "proc/7/cgroup", "4:memory:/a\n")
    write(
        tmp_path / "proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    control = tmp_path / "sys/fs/cgroup/memory/a/memory.oom_control"
    write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    kills = OomKills(7, tmp_path)
    write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert kills.since() == {str(control.parent): 1}
    assert OomKills(7, tmp_path / "nowhere").since() == {}


def killed(out: Any) -> None:
    out.call("getpid", 0)
    out.add(Kind.TASK, 1, nr=Task.FORK, args=(CHILD, CHILD))
    out.add(Kind.TASK, 100, nr=Task.EXIT, ret=9, pid=CHILD, tid=CHILD)


def test_a_kill_for_memory_is_told_from_others(build: Build) -> None:
    (end,) = analyse(build(killed, pid=MAIN, oom_kills={"/sys/g": 1, "": 1})).endings
    assert (end.cause, end.oom_kills, end.oom_group) == (EndCause.OUT_OF_MEMORY, 1, "/sys/g")
    (end,) = analyse(build(killed, pid=MAIN, oom_kills={"/sys/g": 0, "": 0})).endings
    assert (end.cause, end.oom_kills) == (EndCause.NOT_RECORDED, 0)

    def by_parent(out: Any) -> None:
        killed(out)
        out.call("pidfd_open", 5, CHILD, 0, ret=8)
        out.call("pidfd_send_signal", 50, 8, 9, ret=0)

    (end,) = analyse(build(by_parent, pid=MAIN, oom_kills={"/sys/g": 0, "": 0})).endings
    assert (end.cause, end.sender_pid) == (EndCause.SENT, MAIN)


def test_a_status_that_nobody_could_say_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("getpid", 0)
        out.add(Kind.TASK, 100, nr=Task.EXIT, flags=int(Flag.NO_EXIT))

    report = analyse(build(fill, pid=MAIN))
    assert [row.end for row in report.processes] == ["unknown"]
    assert [end.cause for end in report.endings] == [EndCause.UNKNOWN]
    known = analyse(build(fill, pid=MAIN, wait_status=11))
    assert [row.end for row in known.processes] == ["SIGSEGV"]
    assert known.endings[0].signal == "SIGSEGV"
