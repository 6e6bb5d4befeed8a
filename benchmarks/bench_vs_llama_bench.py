"""Does llamactl bench tell the same tokens per second as llama-bench, on the same library?

Both programs run at the same time, unchanged, and take turns repetition by repetition, A B B A: a preloaded
library (tests/programs/turns.c) holds each back before its clock starts. Each pair of processes counts once,
by the median of its repetitions, because where its memory happens to lie makes a process quicker or slower
for all its life. Both run on the same CPUs, for a CPU may be quicker than the next one. Printed is the ratio
of the speeds that the two programs tell, with a bootstrap interval of the median, and beside it the same
without the time in which the thread that computes waited for a CPU: that part other programs caused.

    python benchmarks/bench_vs_llama_bench.py [--processes 40] [--turns 4] [--threads 1,2] [--tests pp64,tg16]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from itertools import cycle
from pathlib import Path

from _pairs import LLAMACTL, ROOT, given_path, peer

from llamactl.bench.measure.same_cpus import shared_cpus
from llamactl.bench.measure.statistics import Ratio, speed_ratio
from llamactl.engine.library import directory
from llamactl.models.default import default_model

CONFIDENCE = 0.95
SETTLE_S = 0.02
"""Threads of OpenMP spin for some milliseconds after their work, which would be in the other program's turn."""


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--llama-bench", type=given_path, default=None, help="as `make peers` built it")
    parser.add_argument("--model", type=given_path, default=None, help="the default model")
    parser.add_argument("--processes", type=int, default=40, help="of each program, one after the other")
    parser.add_argument("--turns", type=int, default=4, help="of each process")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tests", default="pp64,tg16")
    return parser.parse_args()


class Program:
    """A benchmark that works when it is its turn, once more than ``turns`` times."""

    def __init__(self, command: list[str], library: Path, cpus: list[int]) -> None:
        self._here, there = socket.socketpair()
        self._waited_ns: list[int] = []
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "TURNS_FD": str(there.fileno()),
            # The very same file for both: llama-bench's own path names the one in the build directory.
            "LD_LIBRARY_PATH": str(directory()),
        }
        chosen = ["taskset", "-c", ",".join(map(str, cpus))] if cpus else []
        with there:
            self._process = subprocess.Popen(
                [*chosen, *command],
                env=environment,
                pass_fds=[there.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def ready(self) -> None:
        """Let it load and warm up; it stops before its first repetition."""
        self._stopped()
        self.turn()
        self._waited_ns.clear()

    def turn(self) -> None:
        """Let it do one repetition."""
        time.sleep(SETTLE_S)
        self._here.send(b"g")
        self._waited_ns.append(self._stopped())

    def _stopped(self) -> int:
        told = self._here.recv(8)
        if len(told) != 8:
            raise SystemExit(f"{self._process.args!r} ended early")
        return int(struct.unpack("q", told)[0])

    def samples_ns(self) -> tuple[list[int], list[int]]:
        """Let it end and return its repetitions, with and without waits; not the last, which wasn't a turn."""
        self._here.send(b"g")
        out, _ = self._process.communicate()
        self._here.close()
        row = json.loads(out.splitlines()[0])
        samples: list[int] = row["samples_ns"][:-1]
        # llamactl tells by itself, between its clock's readings; it does more outside of them than llama-bench.
        own = [one["run_delay_ns"] for one in row.get("counters", ())] or self._waited_ns
        return samples, [max(ns - waited, 1) for ns, waited in zip(samples, own, strict=False)]


def taken_in_turns(commands: list[list[str]], turns: int, library: Path, cpus: list[int]) -> list[Program]:
    """Run one process of each in turns, all on the same CPUs; anywhere if there are none."""
    programs = [Program(command, library, cpus) for command in commands]
    for program in programs:
        program.ready()
    for index in range(turns):
        # Whoever goes second may find a warmer machine: take turns.
        for program in programs if index % 2 == 0 else reversed(programs):
            program.turn()
    return programs


def compared(test: str, threads: str, given: argparse.Namespace, library: Path) -> tuple[Ratio, Ratio]:
    """Return the ratio of speeds, as told and without waits for a CPU."""
    chosen = ["-p", test[2:], "-n", "0"] if test.startswith("pp") else ["-p", "0", "-n", test[2:]]
    model = str(given.model or default_model())
    shared = ["-m", model, "-t", threads, "-r", str(given.turns + 1), *chosen, "-o", "jsonl"]
    commands = [[str(given.llama_bench or peer("llama-bench")), *shared], [LLAMACTL, "bench", "-q", *shared]]
    told: tuple[list[int], list[int]] = ([], [])
    without: tuple[list[int], list[int]] = ([], [])
    places = cycle(shared_cpus(os.sched_getaffinity(0), int(threads)) or [[]])
    for _ in range(given.processes):
        for side, program in enumerate(taken_in_turns(commands, given.turns, library, next(places))):
            samples, undisturbed = program.samples_ns()
            told[side].extend(samples)
            without[side].extend(undisturbed)
    how = {"paired": True, "confidence": CONFIDENCE, "per_process": given.turns}
    return speed_ratio(*told, **how), speed_ratio(*without, **how)


def main() -> None:
    """Print a line for each test and number of threads."""
    given = arguments()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "turns.so")
        source = ROOT / "tests" / "programs" / "turns.c"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
        print(
            f"llamactl bench / llama-bench, {given.processes} × {given.turns} pairs, {CONFIDENCE:.0%} interval"
        )
        for test in given.tests.split(","):
            for threads in given.threads.split(","):
                told, without = compared(test, threads, given, library)
                print(
                    f"{test}, threads {threads}: {told.value:.3f} ({told.low:.3f} – {told.high:.3f}), "
                    f"without waits for a CPU {without.value:.3f} ({without.low:.3f} – {without.high:.3f}), "
                    f"load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
