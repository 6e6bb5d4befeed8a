"""The CPU budget from trees made for the test, from this process's affinity, and from a real control group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import clean_environment

from llamactl.process.cpu_budget import CpuBudget, cpu_budget, parse_cpu_list


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below a directory."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Make the tree of a machine of 4 cores with two hyperthreads each, all of them allowed."""
    files = {
        "sys/devices/system/cpu/online": "0-7\n",
        "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-7\n",
    }
    for cpu in range(8):
        topology = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files |= {f"{topology}/core_id": f"{cpu % 4}\n", f"{topology}/physical_package_id": "0\n"}
    write(tmp_path, files)
    return tmp_path


V2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
}
V1 = {
    "proc/self/cgroup": "5:memory:/elsewhere\n4:cpu,cpuacct:/a/b\n0::/\n",
    "proc/self/mountinfo": (
        "29 20 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "31 20 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    ),
}


def test_cores_not_hyperthreads(machine: Path) -> None:
    assert cpu_budget(root=machine) == CpuBudget(4, 4, 8, None, None, "cores")
    assert str(cpu_budget(root=machine)) == "4 (4 physical cores)"


CORES = """processor : 0
physical id : 0
core id : 0

processor : 1
physical id : 0
core id : 0

processor : 2
physical id : 1
core id : 0
"""


def test_without_sys_cpuinfo_tells_the_cores(tmp_path: Path) -> None:
    write(tmp_path, {"proc/cpuinfo": CORES, "proc/self/status": "Cpus_allowed_list:\t0-2"})
    assert cpu_budget(root=tmp_path) == CpuBudget(2, 2, 3, None, None, "cores")


@pytest.mark.parametrize(
    ("allowed", "threads"), [("0,4", 1), ("0-1", 2), ("0-2,4-6", 3), ("7", 1), ("0-3", 4)]
)
def test_affinity(machine: Path, allowed: str, threads: int) -> None:
    write(machine, {"proc/self/status": f"Cpus_allowed_list:\t{allowed}\n"})
    found = cpu_budget(root=machine)
    assert (found.threads, found.limited_by) == (threads, "affinity")


@pytest.mark.parametrize(
    ("inner", "outer", "threads", "quota"),
    [
        ("max 100000", "max 100000", 4, None),
        ("200000 100000", "max 100000", 2, 2.0),
        ("max 100000", "150000 100000", 1, 1.5),
        ("300000 100000", "250000 100000", 2, 2.5),
        ("50000 100000", "max", 1, 0.5),
        ("800000 100000", "max", 4, 8.0),
        ("40000 20000", "", 2, 2.0),
        ("", "", 4, None),
    ],
)
def test_quota_of_version_2(machine: Path, inner: str, outer: str, threads: int, quota: float | None) -> None:
    write(machine, V2 | {"sys/fs/cgroup/a/b/cpu.max": inner, "sys/fs/cgroup/a/cpu.max": outer})
    found = cpu_budget(root=machine)
    assert (found.threads, found.quota_cpus) == (threads, quota)
    if quota is not None and threads < 4:
        assert found.limited_by == "quota"
        assert f"a CPU quota of {quota:g}" in str(found)
        where = "a/b" if inner.split(maxsplit=1)[0] == f"{quota * 100000:.0f}" or "20000" in inner else "a"
        assert found.quota_source == str(machine / f"sys/fs/cgroup/{where}/cpu.max")


@pytest.mark.parametrize(
    ("inner", "outer", "threads", "quota"),
    [("-1", "-1", 4, None), ("200000", "-1", 2, 2.0), ("-1", "100000", 1, 1.0), ("350000", "900000", 3, 3.5)],
)
def test_quota_of_version_1(machine: Path, inner: str, outer: str, threads: int, quota: float | None) -> None:
    group = "sys/fs/cgroup/cpu/a"
    write(
        machine,
        V1
        | {
            f"{group}/b/cpu.cfs_quota_us": inner,
            f"{group}/b/cpu.cfs_period_us": "100000",
            f"{group}/cpu.cfs_quota_us": outer,
            f"{group}/cpu.cfs_period_us": "100000",
        },
    )
    found = cpu_budget(root=machine)
    assert (found.threads, found.quota_cpus) == (threads, quota)


def test_a_period_of_nothing_and_words_that_are_no_numbers(machine: Path) -> None:
    write(machine, V2 | {"sys/fs/cgroup/a/b/cpu.max": "100000 0"})
    assert cpu_budget(root=machine).quota_cpus is None


def test_without_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/status": "Cpus_allowed_list:\t0-2\n", "sys/devices/system/cpu/online": "0-2"})
    assert cpu_budget(root=tmp_path) == CpuBudget(3, 3, 3, None, None, "cores")


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,8", {0, 1, 2, 3, 8}), ("5\n", {5}), ("", set()), ("1,3-4", {1, 3, 4})]
)
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    assert parse_cpu_list(text) == cpus


def test_this_process() -> None:
    found = cpu_budget()
    assert found.affinity_cpus == len(os.sched_getaffinity(0))
    assert 1 <= found.threads <= found.physical_cores <= found.affinity_cpus


def test_no_such_process() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(ProcessLookupError):
        cpu_budget(process.pid)


SHOW = (
    "import sys; sys.stdin.read(1); from llamactl.process.cpu_budget import cpu_budget; b = cpu_budget();"
    "print(b.threads, b.quota_cpus, b.limited_by, b.affinity_cpus)"
)


def test_the_affinity_of_a_real_process() -> None:
    cpu = min(os.sched_getaffinity(0))
    result = subprocess.run(
        [sys.executable, "-c", SHOW],
        env=clean_environment(), input="x", capture_output=True, text=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )  # fmt: skip
    threads, *_, cpus = result.stdout.split()
    assert (threads, cpus) == ("1", "1")


def test_a_real_control_group() -> None:
    """Half a CPU, asked of the kernel itself."""
    for mount, file, quota in (  # noqa: B007 - used after the loop
        (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", "50000"),
        (Path("/sys/fs/cgroup"), "cpu.max", "50000 100000"),
    ):
        group = mount / f"llamactl-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / file).exists():
            break
        group.rmdir()
    else:
        pytest.skip("no cpu controller in which this user may make a group")
    try:
        (group / file).write_text(quota)
        with subprocess.Popen(
            [sys.executable, "-c", SHOW],
            env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            (group / "cgroup.procs").write_text(str(process.pid))
            out, _ = process.communicate("x")
    finally:
        group.rmdir()
    assert out.split()[:2] == ["1", "0.5"]
