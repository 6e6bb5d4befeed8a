from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llamactl.bench.measure import machine, page_cache
from llamactl.bench.measure.counters import NAMES, Counters, throttled_ns
from llamactl.bench.processes import rollup
from llamactl.bench.report import Sample


def test_counters_agree_with_what_was_done(tmp_path: Path) -> None:
    counters = Counters.open()
    before = counters.read()
    quiet = counters.since(before)
    assert quiet["read_calls"] == 0

    file = tmp_path / "f"
    file.write_bytes(b"x" * 4096)
    fd = os.open(file, os.O_RDONLY)
    before = counters.read()
    for _ in range(100):
        os.pread(fd, 10, 0)
    counts = counters.since(before)
    os.close(fd)
    counters.close()
    assert set(counts) == set(NAMES)
    assert counts["read_calls"] == 100
    assert counts["cpu_ns"] is not None and counts["cpu_ns"] > 0


def test_touching_pages_is_counted_as_faults() -> None:
    import mmap

    counters = Counters.open()
    area = mmap.mmap(-1, 400 * mmap.PAGESIZE)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    before = counters.read()
    for page in range(400):
        area[page * mmap.PAGESIZE] = 1
    faults = counters.since(before)["minor_faults"]
    area.close()
    counters.close()
    assert faults is not None and 400 <= faults < 450


def test_what_isnt_counted_is_unknown_and_has_a_reason() -> None:
    counters = Counters.open()
    values = counters.read()
    for name, reason in counters.missing.items():
        assert values[name] is None
        assert reason
    counters.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nr_throttled 2\nthrottled_usec 1500\n", 1_500_000),
        ("throttled_time 77\n", 77),
        ("usage_usec 5\n", None),
    ],
)
def test_throttled_time_of_both_versions(text: str, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text(text)
    assert throttled_ns(tmp_path / "cpu.stat") == expected
    assert throttled_ns(tmp_path / "missing") is None


def test_the_page_cache_is_emptied_and_filled(tmp_path: Path) -> None:
    file = tmp_path / "f"
    with file.open("wb") as out:
        out.write(os.urandom(1 << 20))
        out.flush()
        os.fsync(out.fileno())
    page_cache.drop([file])
    if page_cache.resident_bytes([file]) != 0:
        pytest.skip("this file system keeps pages (tmpfs?)")
    page_cache.fill([file])
    assert page_cache.resident_bytes([file]) == 1 << 20


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        (tmp_path / name).write_bytes(content)
    prints = [page_cache.fingerprint(tmp_path / name) for name in "abc"]
    assert prints[0] == prints[2] != prints[1]


def stat_of(tmp_path: Path, user: int, steal: int) -> Path:
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc/stat").write_text(f"cpu  {user} 0 0 0 0 0 0 {steal} 0 0\n")
    return tmp_path


def test_other_processes_and_a_thief_are_noticed(tmp_path: Path) -> None:
    first = machine.moment(stat_of(tmp_path, 0, 0))
    second = machine.moment(stat_of(tmp_path, 500 * machine.TICK, 100 * machine.TICK))
    around = machine.between(first, second)
    around["wall_s"] = 1.0
    texts = " ".join(machine.doubts(around, []))
    assert "other processes" in texts and "hypervisor" in texts


def test_a_quiet_machine_raises_no_doubt() -> None:
    around: dict[str, float | int | None] = {
        "wall_s": 10.0, "other_busy_cpus": 0.01, "steal_share": 0.0, "thermal_throttles": 0,
    }  # fmt: skip
    samples = [Sample(100, 1, {"throttled_ns": 0}), Sample(101, 1, {"throttled_ns": 0})]
    assert machine.doubts(around, samples) == ()


def test_spread_and_quota_raise_doubts() -> None:
    samples = [Sample(100, 1, {"throttled_ns": 5_000_000}), Sample(200, 1, {"throttled_ns": 0})]
    texts = " ".join(machine.doubts({}, samples))
    assert "spread" in texts and "quota held it back for 5 ms" in texts


def test_a_governor_raises_a_doubt(tmp_path: Path) -> None:
    directory = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    directory.mkdir(parents=True)
    (directory / "scaling_governor").write_text("powersave\n")
    facts = machine.facts(tmp_path)
    assert "powersave" in machine.standing_doubts(facts)[0]
    (directory / "scaling_governor").write_text("performance\n")
    assert machine.standing_doubts(machine.facts(tmp_path)) == ()


def test_the_memory_of_another_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    assert child.stdout and child.stdout.readline()
    found = rollup(Path(f"/proc/{child.pid}/smaps_rollup"))
    child.communicate(b"\n")
    assert 0 < found["pss_bytes"] <= found["rss_bytes"]
    assert rollup(Path(f"/proc/{child.pid}/smaps_rollup")) == {}


def test_a_kernel_counter_counts_threads_that_start_later() -> None:
    import threading

    from llamactl.bench._bench import ffi, lib

    fd = lib.llamactl_counter_open(lib.PERF_TYPE_SOFTWARE, lib.PERF_COUNT_SW_TASK_CLOCK, True)
    if fd < 0:
        pytest.skip(f"perf events aren't allowed here ({os.strerror(-fd)})")

    def spin() -> None:
        begin = time.thread_time_ns()
        while time.thread_time_ns() - begin < 50_000_000:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    thread.join()
    value, enabled, running = (ffi.new("uint64_t *") for _ in range(3))
    assert lib.llamactl_counter_read(fd, value, enabled, running) == 0
    os.close(fd)
    assert value[0] >= 50_000_000


def test_reading_a_counter_that_isnt_open_is_an_error() -> None:
    from llamactl.bench._bench import ffi, lib

    spare = [ffi.new("uint64_t *") for _ in range(3)]
    assert lib.llamactl_counter_read(-1, *spare) == -errno.EBADF


def test_system_calls_are_counted_exactly() -> None:
    counters = Counters.open()
    if "system_calls" in counters.missing:
        counters.close()
        pytest.skip(counters.missing["system_calls"])
    before = counters.read()
    for _ in range(100):
        os.getppid()
    assert counters.since(before)["system_calls"] == 100
    counters.close()
