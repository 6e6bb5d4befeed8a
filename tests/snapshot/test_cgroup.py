"""Where a process sits in the control groups, from mount tables as kernels and containers write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamactl.process.cgroup import hierarchy


def tree(root: Path, cgroup: str, mountinfo: str) -> Path:
    """Write the two files of a process, and make the places where something is mounted."""
    (root / "sys/fs/cgroup/cpu").mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    return root


V1 = "31 20 0:27 {root} /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "30 20 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "version", "group"),
    [
        ("0::/user/1\n", V2.format(root="/"), 2, "sys/fs/cgroup/user/1"),
        ("0::/\n", V2.format(root="/"), 2, "sys/fs/cgroup"),
        ("4:cpu,cpuacct:/d/x\n0::/\n", V2.format(root="/") + V1.format(root="/"), 1, "sys/fs/cgroup/cpu/d/x"),
        ("4:cpu,cpuacct:/docker/x/y\n", V1.format(root="/docker/x"), 1, "sys/fs/cgroup/cpu/y"),
        ("4:cpu,cpuacct:/docker/x\n", V1.format(root="/docker/other"), 1, "sys/fs/cgroup/cpu"),
        ("0::/../../outside\n", V2.format(root="/"), 2, "sys/fs/cgroup"),
        ("4:cpu:/with:colon\n", V1.format(root="/"), 1, "sys/fs/cgroup/cpu/with:colon"),
    ],
)
def test_hierarchies(tmp_path: Path, cgroup: str, mountinfo: str, version: int, group: str) -> None:
    found = hierarchy("cpu", root=tree(tmp_path, cgroup, mountinfo))
    assert found is not None
    assert (found.version, found.group) == (version, tmp_path / group)
    steps = list(found.upwards())
    assert steps[0] == found.group
    assert steps[-1] == found.mount


@pytest.mark.parametrize(
    ("cgroup", "mountinfo"),
    [("", ""), ("0::/\n", ""), ("3:memory:/\n", V1.format(root="/")), ("", V2.format(root="/"))],
)
def test_nothing_that_holds_the_controller(tmp_path: Path, cgroup: str, mountinfo: str) -> None:
    assert hierarchy("cpu", root=tree(tmp_path, cgroup, mountinfo)) is None


def test_a_mount_that_something_else_hides_is_not_a_group_without_limits(tmp_path: Path) -> None:
    tree(tmp_path, "0::/\n", V2.format(root="/"))
    assert hierarchy("cpu", root=tmp_path) is not None
    (tmp_path / "sys/fs/cgroup/cpu").rmdir()
    (tmp_path / "sys/fs/cgroup").rmdir()
    assert hierarchy("cpu", root=tmp_path) is None


def test_no_process_files(tmp_path: Path) -> None:
    assert hierarchy("cpu", root=tmp_path) is None
