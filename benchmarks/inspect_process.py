"""``llamactl inspect PID`` against ``lsof -p`` plus ``pmap -X``, on 10,000 mappings and 5,000 descriptors.

    python benchmarks/inspect_process.py [ROUNDS]

The three take turns, so that a busy machine slows all of them; whole commands are timed, with their
start, and their output is thrown away.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _pairs import LLAMACTL

TARGET = Path(__file__).with_name("_many_mappings.py")
SECTIONS = "files,mappings"


def seconds(command: list[str]) -> float:
    """Return the wall time of a command."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def main(rounds: int) -> None:
    """Start the process, measure in turn, and print medians as JSON."""
    missing = [name for name in ("lsof", "pmap") if not shutil.which(name)]
    if missing:
        sys.exit(f"{' and '.join(missing)} not installed")
    target = subprocess.Popen(
        [sys.executable, str(TARGET)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert target.stdout is not None
    counts = target.stdout.readline().strip()
    pid = str(target.pid)
    inspect = [LLAMACTL, "inspect", pid]
    commands = {
        "llamactl inspect, all sections": inspect,
        f"llamactl inspect --only {SECTIONS}": [*inspect, "--only", SECTIONS],
        "lsof -p": ["lsof", "-p", pid],
        "pmap -X": ["pmap", "-X", pid],
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            samples[name].append(seconds(command))
    target.communicate("")
    medians = {name: round(statistics.median(values), 4) for name, values in samples.items()}
    both = medians["lsof -p"] + medians["pmap -X"]
    ratio = both / medians["llamactl inspect, all sections"]
    print(
        json.dumps({"target": counts, "rounds": rounds, "median_s": medians, "times_faster": round(ratio, 2)})
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
