"""Several processes that share one model file: throughput together, and how much memory they share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from llamactl.bench.measure import machine
from llamactl.bench.options import Options
from llamactl.bench.plan import BenchTest, Case
from llamactl.bench.remote import Remote, Side
from llamactl.bench.report import Memory, Result, Sample
from llamactl.bench.session import absolute
from llamactl.process import proc_pid
from llamactl.process.proc_text import proc_lines

ROLLUP = {
    "Rss": "rss_bytes",
    "Pss": "pss_bytes",
    "Pss_File": "pss_file_bytes",
    "Anonymous": "anonymous_bytes",
}


def measure_processes(
    case: Case, options: Options, started: str, progress: Callable[[int], object]
) -> Result:
    """Measure ``n_seq`` processes that generate at the same time, each with the model loaded.

    A repetition takes as long as the slowest of them.
    """
    n = case.test.n_seq
    alone = Case(absolute(case.setup), BenchTest("tg", n_gen=case.test.n_gen, n_depth=case.test.n_depth))
    progress(0)
    with ExitStack() as stack:
        remotes = [stack.enter_context(Remote(Side(f"process {i + 1}"), options)) for i in range(n)]
        pids = [remote.pid for remote in remotes]
        prepared = [remote.prepare(alone, warm_up=options.warm_up) for remote in remotes]
        before = machine.moment(pids=pids)
        samples = []
        for index in range(options.repetitions):
            progress(index + 1)
            samples.append(_together(remotes))
        around = machine.between(before, machine.moment(pids=pids))
        memory = _memory(remotes)
    return Result(
        case.setup, case.test, started, tuple(samples), *prepared[0], memory, around,
        machine.doubts(around, samples),
    )  # fmt: skip


def _together(remotes: list[Remote]) -> Sample:
    for remote in remotes:
        remote.start_sample()
    parts = [remote.take_sample() for remote in remotes]
    slowest, quickest = max(parts, key=lambda part: part.ns), min(part.ns for part in parts)
    counters = {name: _sum([part.counters[name] for part in parts]) for name in parts[0].counters}
    # The quota holds the group as a whole back, not each process.
    counters["throttled_ns"] = parts[0].counters.get("throttled_ns")
    # The time is the slowest's, so is what it waited.
    counters["run_delay_ns"] = slowest.counters.get("run_delay_ns")
    return Sample(
        slowest.ns, sum(part.tokens for part in parts), counters, None, {"quickest_process": quickest}
    )


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _memory(remotes: list[Remote]) -> Memory | None:
    memories = [memory for remote in remotes if (memory := remote.memory())]
    if not memories:
        return None
    shared: dict[str, int] = {}
    for remote in remotes:
        for name, value in rollup(proc_pid.place(remote.pid, "smaps_rollup")).items():
            shared[name] = shared.get(name, 0) + value
    return replace(
        memories[0],
        private_bytes=_sum([memory.private_bytes for memory in memories]),
        kv_bytes=_sum([memory.kv_bytes for memory in memories]),
        compute_bytes=_sum([memory.compute_bytes for memory in memories]),
        shared=shared,
    )


def rollup(file: Path) -> dict[str, int]:
    """Return the sums of a process in bytes (proc_pid_smaps_rollup(5)); empty where it can't be read."""
    try:
        lines = proc_lines(file.read_bytes())
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
    return {ROLLUP[key]: int(value.split()[0]) * 1024 for key, value in pairs if key in ROLLUP}
