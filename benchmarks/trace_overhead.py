"""What recording costs the program: untraced, strace and each engine, in turn, with medians and spread.

One call: a loop of ``getppid`` that times itself, everything on one CPU, since where the scheduler puts
tracer and program changes strace's figure by a factor of five. A whole run: load the default model and
generate 32 tokens. Ratios are taken within each round, so that what else the machine does hits all alike.

Run: python benchmarks/trace_overhead.py [--rounds N] [--model FILE] [--llamactl PROGRAM] [--calls-only]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _pairs import LLAMACTL, ROOT, given_path

from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.filters import default_calls
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command
from llamactl.trace.record.syscalls.choose import LOOP_SYSTEM_CALL

Measure = Callable[[], float]

LOOPS = {"untraced": 200_000, "ptrace, not selected": 200_000, "perf, all": 200_000}
LOOPS_STOPPED = 5_000
NEVER = frozenset({169})  # reboot: selected, so that there is a filter, and never called
DEFAULT = default_calls()


class Bench:
    """Runs programs, traced or not, with their output where it can be read."""

    def __init__(self, folder: Path) -> None:
        self.capture = folder / "capture"
        self.output = folder / "output"
        self.loop = folder / "loop_calls"
        source = ROOT / "tests/programs/loop_calls.c"
        subprocess.run(["cc", "-O2", str(source), "-o", str(self.loop)], check=True)

    def traced(
        self, argv: list[str], engine: str, selection: frozenset[int] | None, faults: bool = True
    ) -> float:
        """Record the command; return the seconds from its start to its end."""
        saved = [os.dup(fd) for fd in (1, 2)]
        with self.output.open("wb") as output, Path(os.devnull).open("wb") as nothing:
            os.dup2(output.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            try:
                options = SessionOptions(engine=engine, selection=selection, faults=faults)
                result = record(Command(tuple(argv)), options, CaptureWriter(self.capture))
            finally:
                for fd, kept in zip((1, 2), saved, strict=True):
                    os.dup2(kept, fd)
                    os.close(kept)
        if result.exit_code or result.lost or not result.complete:
            print(f"  note: {engine}: exit {result.exit_code}, {result.lost} lost", file=sys.stderr)
        return result.traced_s

    def plain(self, argv: list[str]) -> float:
        """Run the command (which may be strace) and return its seconds."""
        begin = time.monotonic()
        with self.output.open("wb") as output:
            subprocess.run(argv, stdout=output, stderr=subprocess.DEVNULL, check=True)
        return time.monotonic() - begin

    def per_call(self, name: str, run: Callable[[list[str]], float]) -> float:
        """Return the microseconds of one call, which the loop measures itself."""
        run([str(self.loop), str(LOOPS.get(name, LOOPS_STOPPED))])
        return float(self.output.read_text()) / 1e3


def call_variants(bench: Bench) -> dict[str, Measure]:
    """Return the ways of tracing the loop."""
    one = frozenset({LOOP_SYSTEM_CALL})
    strace = ["strace", "-f", "-o", "/dev/null"]
    filtered = [*strace, "--seccomp-bpf", "-e", "trace=getppid"]
    ways: dict[str, Callable[[list[str]], float]] = {
        "untraced": bench.plain,
        "strace -f": lambda argv: bench.plain([*strace, *argv]),
        "ptrace, all": lambda argv: bench.traced(argv, "ptrace", None),
        "strace --seccomp-bpf, selected": lambda argv: bench.plain([*filtered, *argv]),
        "ptrace, selected": lambda argv: bench.traced(argv, "ptrace", one),
        "python, selected": lambda argv: bench.traced(argv, "python", one),
        "ptrace, not selected": lambda argv: bench.traced(argv, "ptrace", NEVER),
        "perf, all": lambda argv: bench.traced(argv, "perf", None),
    }
    return {name: (lambda n=name, w=way: bench.per_call(n, w)) for name, way in ways.items()}  # type: ignore[misc]


def run_variants(bench: Bench, argv: list[str]) -> dict[str, Measure]:
    """Return the ways of tracing a whole run."""
    strace = ["strace", "-f", "-o", "/dev/null"]
    return {
        "untraced": lambda: bench.plain(argv),
        "strace -f": lambda: bench.plain([*strace, *argv]),
        "strace --seccomp-bpf, file and memory": lambda: bench.plain(
            [*strace, "--seccomp-bpf", "-e", "trace=%file,%memory", *argv]
        ),
        "ptrace, default filter": lambda: bench.traced(argv, "ptrace", DEFAULT),
        "python, default filter": lambda: bench.traced(argv, "python", DEFAULT),
        "perf, all calls": lambda: bench.traced(argv, "perf", None, faults=False),
        "perf, all calls and faults": lambda: bench.traced(argv, "perf", None),
    }


def measure(variants: dict[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Measure every variant once a round, each round beginning with another one."""
    names = list(variants)
    found: dict[str, list[float]] = {name: [] for name in names}
    variants[names[0]]()
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(variants[name]())
    return found


def show(title: str, unit: str, found: dict[str, list[float]]) -> None:
    """Print medians, quartiles and the ratio to the untraced run."""
    print(f"\n{title}\n{'':40}{unit + ', median':>14}{'quartiles':>20}{'ratio':>8}")
    for name, values in found.items():
        low, middle, high = statistics.quantiles(values, n=4)
        ratio = statistics.median(v / u for v, u in zip(values, found["untraced"], strict=True))
        print(f"{name:40}{middle:14.3f}{f'{low:.3f}-{high:.3f}':>20}{ratio:8.2f}")


def goal(text: str, value: float, limit: float) -> None:
    """Print a threshold and whether it is met."""
    print(f"  {'met   ' if value <= limit else 'MISSED'} {text}: {value:.2f} (at most {limit})")


def ratio(found: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(found[name], found[other], strict=True))


def added(found: dict[str, list[float]], name: str) -> float:
    """Return the median of what ``name`` adds to the untraced loop in the same round, in µs."""
    return statistics.median(a - b for a, b in zip(found[name], found["untraced"], strict=True))


def calls(bench: Bench, rounds: int) -> None:
    """Measure one call, with tracer and program on one CPU."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    found = measure(call_variants(bench), rounds)
    os.sched_setaffinity(0, cpus)
    show("One system call, on one CPU", "µs", found)
    goal("ptrace against strace, all calls", ratio(found, "ptrace, all", "strace -f"), 0.85)
    goal(
        "ptrace against strace, selected",
        ratio(found, "ptrace, selected", "strace --seccomp-bpf, selected"),
        0.85,
    )
    goal("a call not selected adds, µs", added(found, "ptrace, not selected"), 0.1)
    goal("perf, µs a call", statistics.median(found["perf, all"]), 2.5)


def runs(bench: Bench, rounds: int, llamactl: str, model: Path | None) -> None:
    """Measure loading and generating with one thread and with two."""
    for threads in (1, 2):
        argv = [llamactl, "run", "--raw", "-n", "32", "-t", str(threads), "--temp", "0", "--ignore-eos"]
        argv += ["-m", str(model)] if model else []
        found = measure(run_variants(bench, [*argv, "Once upon a time"]), rounds)
        show(f"Load and generate 32 tokens, {threads} thread(s)", "s", found)
        if threads == 2:
            goal("perf, all calls", ratio(found, "perf, all calls", "untraced"), 1.1)
        goal("ptrace, default filter", ratio(found, "ptrace, default filter", "untraced"), 1.2)
        goal("python, default filter", ratio(found, "python, default filter", "untraced"), 1.7)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--model", type=given_path)
    parser.add_argument("--llamactl", default=LLAMACTL)
    parser.add_argument("--calls-only", action="store_true")
    options = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("strace isn't installed: there is nothing to compare with.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        calls(bench, options.rounds)
        if not options.calls_only:
            runs(bench, options.rounds, options.llamactl, options.model)


if __name__ == "__main__":
    main()
