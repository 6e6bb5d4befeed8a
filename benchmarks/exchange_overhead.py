"""What a whole run costs when it is traced: calls and the GIL alone, and the full report by each engine.

Usage: python benchmarks/exchange_overhead.py [--rounds 9]

One round runs the same command untraced and in each way of tracing, one after the other, so that what the
machine does meanwhile hits all of them. The command loads the model and generates 64 tokens on one thread;
each ratio is against the untraced run of the same round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _pairs import LLAMACTL, PACKAGE, ROOT
from agent_overhead import Traced

from llamactl.models.default import default_model

TOKENS = "64"
CALLS = "trace=%file,%memory"
"""What the goals name: system calls on files and memory, beside the calls and the GIL."""


def full(engine: str, command: list[str], capture: str) -> float:
    """Trace a command with one engine, the report included; return its program's own wall time in ms."""
    words = [LLAMACTL, "trace", "--engine", engine, "-e", CALLS, "-o", capture, "-q", "--", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure all rounds and print a line per way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    os.environ["PYTHONPATH"] = str(PACKAGE)
    program = str(ROOT / "tests" / "programs" / "agent_generate.py")
    timed = (
        "import subprocess,sys,time;t=time.perf_counter();"
        "subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,check=True);"
        "print((time.perf_counter()-t)*1e3)"
    )
    generate = [sys.executable, program, "engine", str(default_model(quiet=True)), TOKENS]
    command = [sys.executable, "-c", timed, *generate]
    agent = Traced()
    with tempfile.TemporaryDirectory() as place:
        capture = str(Path(place) / "a.capture")
        ways: dict[str, tuple[str, Callable[[], float]]] = {
            "untraced": ("", lambda: untraced(command)),
            "agent only": ("≤ 1.05", lambda: float(agent.run(command).output.split()[-1])),
            "full, ptrace": ("≤ 1.25", lambda: full("ptrace", command, capture)),
            "full, perf": ("≤ 1.10", lambda: full("perf", command, capture)),
        }
        report(measure(ways, rounds), ways)


def untraced(command: list[str]) -> float:
    """Run a command and return what it measured, ms."""
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure(ways: dict[str, tuple[str, Callable[[], float]]], rounds: int) -> dict[str, list[float]]:
    """Return the times by way; every second round goes the other way round, the first one isn't counted."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        names = list(ways) if turn % 2 else list(reversed(ways))
        for name in names:
            value = ways[name][1]()
            if turn:
                found[name].append(value)
    return found


def report(found: dict[str, list[float]], ways: dict[str, tuple[str, Callable[[], float]]]) -> None:
    """Print medians, and the median of the ratios with its quartiles."""
    plain = found["untraced"]
    for name, values in found.items():
        ratios = [value / base for value, base in zip(values, plain, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        goal = ways[name][0]
        line = f"{name:14} {statistics.median(values):9.1f} ms  {middle:.3f} ({low:.3f}-{high:.3f})"
        print(f"{line}  goal {goal}" if goal else line)


if __name__ == "__main__":
    main()
