"""Limits: a control group tree of our own making, and this process's resource limits."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from llamactl.process import groups
from llamactl.process.cgroup import Hierarchy
from llamactl.process.groups import PidsGroup, read_groups, read_pids_group
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import inspect_process

GIB = 1 << 30


def write(place: Path, files: dict[str, str]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hierarchy = Hierarchy(2, tmp_path, tmp_path / "pod" / "box")
    monkeypatch.setattr(groups, "hierarchy", lambda controller, pid, *_: hierarchy)
    write(tmp_path, {"cpu.stat": "usage_usec 1\n"})
    write(
        tmp_path / "pod",
        {
            "memory.current": f"{3 * GIB}\n", "memory.max": f"{4 * GIB}\n", "memory.high": "max\n",
            "memory.stat": f"anon {GIB}\nactive_file {GIB}\ninactive_file {GIB // 2}\nslab_reclaimable 0\n",
            "memory.events": "oom 2\noom_kill 1\n",
            "cpu.max": "150000 100000\n",
            "cpu.stat": "nr_periods 100\nnr_throttled 40\nthrottled_usec 2500000\n",
        },
    )  # fmt: skip
    write(
        tmp_path / "pod" / "box",
        {
            "memory.current": f"{2 * GIB}\n",
            "memory.max": "max\n",
            "memory.stat": "active_file 5\n",
            "cpu.max": "max 100000\n",
        },
    )
    return tmp_path


def test_the_tightest_group_up_the_tree_counts(tree: Path) -> None:
    memory, cpu = read_groups(os.getpid())
    assert memory is not None and cpu is not None
    assert memory.path == cpu.path == str(tree / "pod")
    assert (memory.limit_bytes, memory.high_bytes, memory.oom_kills) == (4 * GIB, None, 1)
    assert memory.reclaimable_bytes == GIB + GIB // 2
    # 3 GiB are used, of which 1.5 GiB can be dropped: 2.5 of 4 GiB are left.
    assert memory.headroom_bytes == 2 * GIB + GIB // 2
    assert (cpu.cpus, cpu.periods, cpu.throttled_periods, cpu.throttled_ns) == (1.5, 100, 40, 2_500_000_000)


def test_throttling_and_kills_are_findings(tree: Path) -> None:
    codes = {finding.code for finding in find_findings(inspect_process(os.getpid(), ("limits",)))}
    assert {"throttled", "oom-kills"} <= codes


def test_the_files_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hierarchy = Hierarchy(1, tmp_path, tmp_path)
    monkeypatch.setattr(groups, "hierarchy", lambda controller, pid, *_: hierarchy)
    write(
        tmp_path,
        {
            "memory.usage_in_bytes": "1000\n", "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.stat": "cache 5\ntotal_active_file 300\ntotal_inactive_file 100\n",
            "cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n",
            "cpu.stat": "nr_periods 4\nnr_throttled 3\nthrottled_time 77\n",
        },
    )  # fmt: skip
    memory, cpu = read_groups(os.getpid())
    assert memory is not None and cpu is not None
    assert (memory.limit_bytes, memory.headroom_bytes, memory.reclaimable_bytes) == (None, None, 400)
    assert (cpu.cpus, cpu.throttled_periods, cpu.throttled_ns) == (0.5, 3, 77)


def test_resource_limits_are_those_of_getrlimit() -> None:
    limits = inspect_process(os.getpid(), ("limits",)).limits
    assert limits is not None
    names = {
        "memlock": resource.RLIMIT_MEMLOCK,
        "nofile": resource.RLIMIT_NOFILE,
        "stack": resource.RLIMIT_STACK,
    }
    found = {limit.name: (limit.soft, limit.hard) for limit in limits.resources}
    for name, number in names.items():
        expected = tuple(
            None if value == resource.RLIM_INFINITY else value for value in resource.getrlimit(number)
        )
        assert found[name] == expected
    assert limits.oom_score == int(Path("/proc/self/oom_score").read_text())


@pytest.mark.parametrize(
    ("cgroup", "mountinfo"),
    [
        ("0::/pod/box\n", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("8:pids:/pod/box\n", "30 1 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"),
    ],
)
def test_the_pids_group_is_the_one_that_leaves_the_fewest(
    tmp_path: Path, cgroup: str, mountinfo: str
) -> None:
    mount = tmp_path / mountinfo.split()[4].lstrip("/")
    write(tmp_path / "proc" / "7", {"cgroup": cgroup})
    write(tmp_path / "proc" / "self", {"mountinfo": mountinfo})
    write(mount / "pod", {"pids.max": "20\n", "pids.current": "19\n", "pids.events": "max 5\n"})
    write(mount / "pod" / "box", {"pids.max": "100\n", "pids.current": "3\n", "pids.events": "max 0\n"})
    assert read_pids_group(7, tmp_path) == PidsGroup(str(mount / "pod"), 19, 20, 5)
    write(mount / "pod", {"pids.max": "max\n"})
    write(mount / "pod" / "box", {"pids.max": "max\n"})
    assert read_pids_group(7, tmp_path) == PidsGroup(str(mount / "pod" / "box"), 3, None, 0)
    assert read_pids_group(8, tmp_path) is None
