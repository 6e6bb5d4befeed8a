"""This machine against what its own tools say, and other machines as trees that the test has made."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from llamactl.snapshot.host import abilities as host_abilities
from llamactl.snapshot.host.abilities import Ability, Probe, abilities
from llamactl.snapshot.host.container import surroundings
from llamactl.snapshot.host.cpu import cpu, feature_use
from llamactl.snapshot.host.machine import EngineFacts, machine
from llamactl.snapshot.host.memory import memory
from llamactl.snapshot.host.python import bindings, python

GIB = 1 << 30


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_cpus_are_what_psutil_says() -> None:
    found = cpu()
    assert found.logical == psutil.cpu_count()
    assert found.physical_cores == psutil.cpu_count(logical=False)
    assert set(found.affinity) == os.sched_getaffinity(0)
    assert found.physical_cores is not None
    assert found.budget.threads <= found.physical_cores


def test_cpu_flags_are_what_lscpu_says() -> None:
    try:
        lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"})
    except FileNotFoundError:
        pytest.skip("lscpu isn't installed")
    fields = dict(line.split(":", 1) for line in lscpu.stdout.splitlines() if ":" in line)
    assert cpu().flags == set(fields["Flags"].split())


def test_memory_is_what_psutil_says() -> None:
    found, reference = memory(), psutil.virtual_memory()
    assert found.total_bytes == reference.total
    assert found.swap_total_bytes == psutil.swap_memory().total
    assert found.available_bytes is not None
    assert abs(found.available_bytes - reference.available) < 512 * 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Two sockets of four cores with two threads each, two nodes of memory, a quota and a limit."""
    system = tmp_path / "sys/devices/system"
    write(system / "cpu/online", "0-15")
    for number in range(16):
        topology = system / f"cpu/cpu{number}/topology"
        write(topology / "core_id", str(number % 4))
        write(topology / "physical_package_id", str(number % 8 // 4))
        write(topology / "thread_siblings_list", f"{number % 8},{number % 8 + 8}")
    write(system / "cpu/cpu0/cpufreq/scaling_governor", "powersave")
    write(system / "node/online", "0-1")
    for node in range(2):
        write(
            system / f"node/node{node}/cpulist", f"{node * 4}-{node * 4 + 3},{node * 4 + 8}-{node * 4 + 11}"
        )
        lines = f"Node {node} MemTotal:  1048576 kB\nNode {node} MemFree:  524288 kB"
        write(system / f"node/node{node}/meminfo", lines)
    info = "processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: avx avx2 fma hypervisor"
    write(tmp_path / "proc/cpuinfo", info + "\n\nprocessor\t: 1")
    status = "Cpus_allowed_list:\t0-7\nCapEff:\t0000000000000000\nSeccomp:\t2"
    write(tmp_path / "proc/self/status", status)
    write(tmp_path / "proc/meminfo", "MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\nHugePages_Total: 7")
    write(tmp_path / "proc/self/cgroup", "0::/kubepods/pod1")
    write(tmp_path / "proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw")
    group = tmp_path / "sys/fs/cgroup/kubepods/pod1"
    write(group / "memory.max", str(GIB))
    write(group / "memory.current", str(GIB // 2))
    write(group / "memory.stat", f"anon 5\ninactive_file {GIB // 4}")
    write(group / "cpu.max", "200000 100000")
    write(group.parent / "memory.max", "max")
    return tmp_path


def test_another_machines_cpus(server: Path) -> None:
    found = cpu(server)
    assert (found.model, found.logical, found.physical_cores, found.sockets) == ("Test CPU", 16, 8, 2)
    assert (found.threads_per_core, found.governor) == (2, "powersave")
    assert found.affinity == tuple(range(8))
    assert found.budget.quota_cpus == 2.0
    assert [node.total_bytes for node in found.numa] == [GIB, GIB]
    assert found.numa[1].cpus == (4, 5, 6, 7, 12, 13, 14, 15)


def test_another_machines_memory_and_its_groups_limit(server: Path) -> None:
    found = memory(server)
    assert (found.total_bytes, found.available_bytes, found.swap_total_bytes) == (2 * GIB, GIB, None)
    assert found.huge_pages.reserved == 7
    assert found.group is not None
    assert (found.group.limit_bytes, found.group.used_bytes) == (GIB, GIB // 2)
    assert found.group.headroom_bytes == GIB // 2 + GIB // 4
    assert found.group.source.endswith("pod1/memory.max")


def test_features_that_the_engine_misses() -> None:
    flags = frozenset({"avx", "avx2", "avx512f"})
    found = {use.name: use for use in feature_use(flags, {"AVX": "1", "AVX2": "1"})}
    assert found["AVX512"].missed
    assert not found["AVX2"].missed
    assert "FMA" not in found
    assert [use.engine for use in feature_use(flags, None)] == [None, None, None]


@pytest.mark.parametrize(
    ("files", "environment", "container"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({"/proc/self/cgroup": "0::/kubepods/besteffort/pod1"}, {}, "kubernetes"),
        ({"/proc/self/cgroup": "4:cpu:/lxc/box"}, {}, "lxc"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/proc/self/cgroup": "0::/user.slice"}, {}, None),
    ],
)
def test_containers(
    files: dict[str, str], environment: dict[str, str], container: str | None, tmp_path: Path
) -> None:
    for path, text in files.items():
        write(tmp_path / path.lstrip("/"), text)
    found = surroundings(tmp_path, environment)
    assert found.container == container
    assert (found.evidence is None) == (container is None)


def test_a_namespace_of_its_own_is_a_container_of_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/pid").symlink_to("pid:[4026532000]")
    assert surroundings(tmp_path, {}).container == "unknown kind"


def by_name(found: tuple[Ability, ...]) -> dict[str, Ability]:
    return {ability.name: ability for ability in found}


def probe(root: Path, **errors: int) -> Probe:
    return Probe(root, lambda name: errors.get(name, 0))


def test_every_missing_ability_says_its_cost_and_remedy(server: Path) -> None:
    refused = probe(
        server, ptrace=errno.EPERM, seccomp_trace=errno.EINVAL, perf_cpu=errno.EACCES, perf_self=1
    )
    found = by_name(abilities(refused))
    for name in ("ptrace", "seccomp filter", "perf events"):
        assert found[name].state == "no"
        assert found[name].cost
        assert found[name].remedy
    assert "EPERM" in found["ptrace"].evidence
    assert "CAP_PERFMON not held" in found["perf events"].evidence


def test_yama_limits_ptrace_to_children_without_the_capability(server: Path) -> None:
    write(server / "proc/sys/kernel/yama/ptrace_scope", "1")
    assert by_name(abilities(probe(server)))["ptrace"].state == "limited"
    write(server / "proc/self/status", "CapEff:\t0000000000080000")
    assert by_name(abilities(probe(server)))["ptrace"].state == "yes"


def test_perf_needs_the_tracepoints_too(server: Path) -> None:
    write(server / "proc/sys/kernel/perf_event_paranoid", "2")
    assert by_name(abilities(probe(server)))["perf events"].state == "limited"
    write(server / "sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "348")
    found = by_name(abilities(probe(server)))["perf events"]
    assert (found.state, found.cost) == ("yes", "")
    assert "/sys/kernel/tracing" in found.evidence
    own = by_name(abilities(probe(server, perf_cpu=errno.EACCES)))["perf events"]
    assert own.state == "limited"
    assert "one's own processes" in own.evidence


def test_root_can_mount_the_tracepoints(server: Path) -> None:
    write(server / "proc/filesystems", "nodev\ttracefs")
    assert by_name(abilities(probe(server)))["perf events"].state == "limited"
    write(server / "proc/self/status", "CapEff:\t0000000000200000")
    assert by_name(abilities(probe(server)))["perf events"].state == "yes"


def test_ptrace_here_is_allowed_as_strace_finds_it() -> None:
    try:
        command = ["strace", "-qq", "-o", "/dev/null", "true"]
        status = subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        pytest.skip("strace isn't installed")
    assert (by_name(abilities())["ptrace"].state != "no") == (status == 0)


def test_probing_leaves_no_process_behind() -> None:
    before = {child.pid for child in psutil.Process().children()}
    abilities()
    assert {child.pid for child in psutil.Process().children()} == before


def test_python_is_this_one_and_bindings_are_not_imported() -> None:
    found = python()
    assert found.executable == sys.executable
    assert found.version in sys.version
    assert found.virtual_environment == (sys.prefix if sys.prefix != sys.base_prefix else None)
    assert not {"llama_cpp", "xllamacpp"} & set(sys.modules)


def test_installed_bindings_are_found_by_their_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "llama_cpp_python-0.3.36.dist-info"
    write(folder / "METADATA", "Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 0.3.36")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {binding.name: binding for binding in bindings()}
    assert found["llama-cpp-python"].version == "0.3.36"
    assert found["llama-cpp-python"].interface == "ctypes"
    assert found["llama-cpp-python"].location == str(tmp_path)


def test_the_whole_machine_with_and_without_an_engine() -> None:
    without = machine(engine_problem="not built")
    assert (without.engine, without.engine_problem) == (None, "not built")
    assert len(without.abilities) == len(host_abilities.LOOKS)
    engine = EngineFacts("0.5.0", "abc", "0.25", ("CPU",), (), {"AVX2": "1"})
    assert machine(engine).engine == engine


def test_without_sys_what_is_unknown_is_none(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor : 0\nFeatures : asimd\n\nprocessor : 1\nFeatures : asimd")
    write(tmp_path / "proc/self/status", "Cpus_allowed_list:\t0-1")
    found = cpu(tmp_path)
    assert found.logical == 2, "it is in /proc/cpuinfo"
    assert (found.physical_cores, found.sockets, found.threads_per_core) == (None, None, None)
    assert memory(tmp_path).huge_pages.transparent is None
    (tmp_path / "sys/kernel/mm").mkdir(parents=True)
    assert memory(tmp_path).huge_pages.transparent == "absent"
