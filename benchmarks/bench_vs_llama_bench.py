"""Does llamactl bench tell the same tokens per second as llama-bench, on the same library?

Short runs of both in turns, A B B A, each in a process of its own; the ratio of each pair, and a bootstrap
interval of the median. A busy machine widens the interval but doesn't move it.

    python benchmarks/bench_vs_llama_bench.py [--pairs 20] [--threads 1,2] [--tests pp64,tg16]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

from _pairs import LLAMACTL, peer

from llamactl.bench.statistics import speed_ratio
from llamactl.models.default import default_model

REPETITIONS = 5


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--llama-bench", type=Path, default=None, help="as `make peers` built it")
    parser.add_argument("--model", type=Path, default=None, help="the default model")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--tests", default="pp64,tg16")
    return parser.parse_args()


def options(test: str, threads: str, model: Path) -> list[str]:
    """Return the options that both programs understand."""
    chosen = ["-p", test[2:], "-n", "0"] if test.startswith("pp") else ["-p", "0", "-n", test[2:]]
    return ["-m", str(model), "-t", threads, "-r", str(REPETITIONS), *chosen]


def median_ns(command: list[str]) -> int:
    """Run one of the programs and return the median of its repetitions."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    samples: list[int] = json.loads(done.stdout.splitlines()[0])["samples_ns"]
    return round(statistics.median(samples))


def main() -> None:
    """Print a line for each test and number of threads."""
    given = arguments()
    llama_bench, model = given.llama_bench or peer("llama-bench"), given.model or default_model()
    for test in given.tests.split(","):
        for threads in given.threads.split(","):
            shared = [*options(test, threads, model), "-o", "jsonl"]
            theirs = [str(llama_bench), *shared]
            ours = [LLAMACTL, "bench", "-q", *shared]
            pairs: list[tuple[int, int]] = []
            for index in range(given.pairs):
                # Whoever goes second may find a warmer machine: take turns.
                if index % 2 == 0:
                    pairs.append((median_ns(theirs), median_ns(ours)))
                else:
                    pairs.append((median_ns(ours), median_ns(theirs))[::-1])
            base, new = zip(*pairs, strict=True)
            found = speed_ratio(base, new, paired=True, confidence=0.95)
            print(
                f"{test} threads {threads}: llamactl bench / llama-bench = {found.value:.3f} "
                f"({found.low:.3f} – {found.high:.3f}, 95 %, {given.pairs} pairs)",
                flush=True,
            )


if __name__ == "__main__":
    main()
