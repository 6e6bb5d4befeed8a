"""Quotas and throttling of control groups, from files as the kernel writes them in both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from llamactl.process.cpu_quota import Quota, Throttling, parse_cpu_stat, quota_of

V1 = b"nr_periods 98\nnr_throttled 96\nthrottled_time 4817404111\nnr_bursts 0\nburst_time 0\n"
V2 = (
    b"usage_usec 2000\nuser_usec 1500\nsystem_usec 500\nnr_periods 98\nnr_throttled 96\nthrottled_usec 4817404\n"
    b"nr_bursts 0\nburst_usec 0\n"
)


def test_counters_of_both_versions() -> None:
    assert parse_cpu_stat(V1) == Throttling(96, 4_817_404_111, 98)
    assert parse_cpu_stat(V2) == Throttling(96, 4_817_404_000, 98)


def test_a_group_without_the_controller_has_none() -> None:
    assert parse_cpu_stat(b"usage_usec 2000\nuser_usec 1500\nsystem_usec 500\n") is None
    assert parse_cpu_stat(b"") is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "20000 100000\n"}, (20_000, 100_000)),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "20000\n"}, (20_000, 100_000)),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "25000\n"}, (50_000, 25_000)),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.cfs_quota_us": "50000\n"}, (50_000, 100_000)),
        ({}, None),
    ],
)
def test_quotas(tmp_path: Path, files: dict[str, str], expected: tuple[int, int] | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    found = quota_of(tmp_path)
    assert (None if found is None else (found.quota_us, found.period_us)) == expected


def test_a_quota_in_cpus() -> None:
    assert Quota(20_000, 100_000, "cpu.max").cpus == pytest.approx(0.2)
