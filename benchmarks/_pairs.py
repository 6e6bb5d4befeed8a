"""Two ways of doing the same, measured in turn: what the machine does meanwhile hits both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import llamactl

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(llamactl.__file__).resolve().parent.parent
"""Where the package that is measured lies: the programs it starts must find the same one."""
STARTED_IN = Path.cwd()
# A child Python looks into its current directory first; here it finds the installed package.
os.chdir(Path(__file__).parent)
LLAMACTL = str(Path(sys.executable).parent / "llamactl")


def given_path(text: str) -> Path:
    """Return a path of the command line, which is meant from where the program was started."""
    return STARTED_IN / text


@dataclass(frozen=True, slots=True)
class Pairs:
    """Figures of A and B, taken in turn; the ratio is A/B pair by pair."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """A/B of each pair."""
        return [one / other for one, other in zip(self.a, self.b, strict=True)]

    def row(self, name: str, unit: str, goal: str) -> str:
        """Return one line: medians, the median ratio with its quartiles, the goal."""
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        a, b = statistics.median(self.a), statistics.median(self.b)
        return f"{name:34} {a:9.2f} {b:9.2f} {unit:6} {middle:6.3f} ({low:.3f}-{high:.3f})  goal {goal}"


def interleaved(a: Callable[[], float], b: Callable[[], float], pairs: int) -> Pairs:
    """Measure A and B in turn after one uncounted pair."""
    a(), b()
    rows = [(a(), b()) if turn % 2 else tuple(reversed((b(), a()))) for turn in range(pairs)]
    return Pairs(tuple(row[0] for row in rows), tuple(row[1] for row in rows))


def wall_ms(command: Sequence[str]) -> float:
    """Run a command to its end and return the wall time in milliseconds."""
    start = time.perf_counter()
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    return (time.perf_counter() - start) * 1e3


def peer(name: str) -> str:
    """Return the path of a program of llama.cpp's that `make peers` built, or end with the remedy."""
    found = sorted(ROOT.glob(f"build/*/peers/*/{name}"))
    if not found:
        sys.exit(f"{name} isn't built: run `make peers` first.")
    return str(found[-1])
