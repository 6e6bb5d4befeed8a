"""What the agent costs: nanoseconds a call, a crossing from ctypes with its GIL, and a whole run.

Usage: python benchmarks/agent_overhead.py [--pairs 12]

Each line runs with and without the agent in turn. The whole run is load + 64 tokens on one thread.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _pairs import PACKAGE, ROOT, interleaved

from llamactl.models.default import default_model
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Losses, Ring

PROGRAMS = ROOT / "tests" / "programs"
CALLS = 60_000
DRAIN_S = 0.005
CROSSING = """
import ctypes, sys, time
function = getattr(ctypes, sys.argv[1])(sys.argv[2]).llama_nothing
function.argtypes, function.restype = [], None
def run(count):
    start = time.perf_counter_ns()
    for _ in range(count):
        function()
    return (time.perf_counter_ns() - start) / count
run(100)
print(sorted(run(1000) for _ in range(20))[10])
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed and how long it took."""

    output: str
    wall_ms: float


class Traced:
    """Runs commands with the agent, draining its ring as a recording does."""

    def __init__(self) -> None:
        self.lost = 0
        self.records = 0

    def run(self, command: Sequence[str]) -> Done:
        """Run a command to its end; making the ring isn't part of its time."""
        with Ring() as ring:
            ended = threading.Event()
            reader = threading.Thread(target=self._drain, args=(ring, ended))
            reader.start()
            try:
                environment = agent_environment(os.environ, find_agent(), ring.address)
                done = untraced(command, environment)
            finally:
                ended.set()
                reader.join()
            self.records += len(ring.finish())
            losses: Losses = ring.losses()
            self.lost += losses.records
        return done

    def _drain(self, ring: Ring, ended: threading.Event) -> None:
        while not ended.wait(DRAIN_S):
            self.records += len(ring.drain())


def untraced(command: Sequence[str], environment: dict[str, str] | None = None) -> Done:
    """Run a command to its end."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return Done(done.stdout, (time.perf_counter() - start) * 1e3)


def build(place: Path) -> tuple[str, str]:
    """Compile the target library and the loop; return their paths."""
    library, loop = place / "libllama.so", place / "agent_loop"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", PROGRAMS / "llama_target.c", "-o", library], check=True)
    link = [f"-L{place}", "-lllama", f"-Wl,-rpath,{place}", "-Wl,-z,lazy"]
    subprocess.run(["cc", "-O2", PROGRAMS / "agent_loop.c", "-o", loop, *link], check=True)
    return str(library), str(loop)


def build_device(place: Path) -> str:
    """Compile a runtime with CUDA's symbols and a loop that launches; return the loop's path."""
    library, loop = place / "libcudart.so.13", place / "device_program"
    define = "-DRUNTIME=cuda"
    make: list[str | Path] = ["cc", "-O2", define, PROGRAMS / "device_runtime.c", "-shared", "-fPIC"]
    subprocess.run([*make, "-Wl,-soname,libcudart.so.13", "-o", library], check=True)
    link = [str(library), f"-Wl,-rpath,{place}", "-Wl,-z,lazy", "-pthread"]
    subprocess.run(["cc", "-O2", define, PROGRAMS / "device_program.c", "-o", loop, *link], check=True)
    return str(loop)


def measured(
    name: str, unit: str, goal: str, pairs: int, command: Sequence[str], figure: Callable[[Done], float]
) -> None:
    """Print one line: with the agent, without, the ratio, what was added and lost."""
    traced = Traced()
    found = interleaved(lambda: figure(traced.run(command)), lambda: figure(untraced(command)), pairs)
    added = sorted(one - other for one, other in zip(found.a, found.b, strict=True))
    print(
        f"{found.row(name, unit, goal)}; added {added[len(added) // 2]:.1f} {unit} (least {added[0]:.1f}), "
        f"{traced.records} records, {traced.lost} lost",
        flush=True,
    )


def main() -> None:
    """Measure all lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12)
    pairs = parser.parse_args().pairs
    print(f"{'':34} {'agent':>9} {'without':>9} {'':6} ratio (quartiles)")
    with tempfile.TemporaryDirectory() as place:
        library, loop = build(Path(place))
        measured("call from C", "ns", "added ≤ 100", pairs, [loop, str(CALLS)], printed)
        device = build_device(Path(place))
        measured(
            "call of CUDA's runtime", "ns", "added ≤ 100", pairs, [device, "loop", "1", str(CALLS)], printed
        )
        for kind in ("PyDLL", "CDLL"):
            crossing = [sys.executable, "-c", CROSSING, kind, library]
            measured(f"crossing from ctypes.{kind}", "ns", "-", pairs, crossing, printed)
    os.environ["PYTHONPATH"] = str(PACKAGE)
    model = str(default_model(quiet=True))
    generate = [sys.executable, str(PROGRAMS / "agent_generate.py"), "engine", model, "64"]
    measured("load + 64 tokens, 1 thread", "ms", "≤ 1.05", pairs, generate, lambda done: done.wall_ms)
    measured("/bin/true", "ms", "-", pairs, ["/bin/true"], lambda done: done.wall_ms)


def printed(done: Done) -> float:
    """Return the first figure that a command printed."""
    return float(done.output.split()[0])


if __name__ == "__main__":
    main()
