"""The line of a run says when its threads had no CPU, and which quota did it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from llamactl.process.cpu_wait import CpuWaits
from llamactl.render.run.line import run_line

GROUP = "/sys/fs/cgroup/pod\x1b[2J"


def line(waits: CpuWaits | None) -> str:
    """The line of a run that waited so."""
    times = SimpleNamespace(
        load_ns=1, context_ns=1, prefill_ns=1, tokens_per_second=3.0, time_to_first_token_ns=1
    )
    memory = SimpleNamespace(private_bytes=1, model=SimpleNamespace(resident_bytes=1))
    report = SimpleNamespace(
        timings=times, memory=memory, n_prompt_tokens=3, n_tokens=4, finish_reason="stop", cpu_waits=waits
    )
    return run_line(cast("Any", report))


def test_a_quota_is_named_and_the_group_cannot_write_to_the_terminal() -> None:
    text = line(CpuWaits(8 * 10**9, 0.94, True, GROUP, 106, 106, 10**10, 20_000, 100_000))
    assert (
        "waited for a CPU 94% of the time, throttled in 106 of 106 periods by the quota of 0.2 CPUs" in text
    )
    assert "\x1b" not in text


def test_other_programs_need_no_group() -> None:
    assert line(CpuWaits(8 * 10**9, 0.6, True, None, 0, 0, 0, None, None)).endswith(
        "waited for a CPU 60% of the time"
    )


def test_nothing_is_said_of_a_little_and_of_what_is_not_known() -> None:
    assert "CPU" not in line(CpuWaits(10**6, 0.01, False, None, 0, 0, 0, None, None))
    assert "CPU" not in line(None)
