"""What a call caught from outside costs: breakpoints and uprobes, on any CPU and on one.

    python benchmarks/boundary.py [CALLS]

Compiles tests/programs/boundary_loop.c, times its calls untraced and traced in turn, and prints the median
of what one call costs more, in microseconds. Needs a C compiler, and root for uprobes.
"""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.trace.record.calls.breakpoint_source import BreakpointSource
from llamactl.trace.record.calls.uprobes import UprobeSource

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = Path(__file__).resolve().parents[1] / "tests" / "programs"
REPEATS = 5


class Nowhere:
    """A writer that keeps nothing."""

    def add_arena(self, strings: object) -> int:  # noqa: ARG002
        """Take strings."""
        return 0

    def add_string(self, text: bytes) -> int:  # noqa: ARG002
        """Take a string."""
        return 0

    def records(self, records: object) -> None:
        """Take records."""

    def metadata(self, facts: object) -> None:
        """Take metadata."""


def build(place: Path) -> Path:
    """Compile the program into a directory."""
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", PROGRAMS / "llama_target.c", "-o", place / "libllama.so"],
        check=True,
    )
    program = place / "boundary_loop"
    subprocess.run(
        ["cc", "-O2", "-pthread", PROGRAMS / "boundary_loop.c", f"-L{place}", f"-Wl,-rpath,{place}", "-lllama",
         "-o", program],
        check=True,
    )  # fmt: skip
    return program


def seconds(program: Path, calls: int, make: Callable[[int], Any] | None) -> float:
    """Return how long the calls take, traced by what ``make`` returns."""
    process = subprocess.Popen(
        [program, "1", str(calls)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    source = make(process.pid) if make else None
    begin = time.monotonic()
    process.stdin.write("go\n")
    process.stdin.flush()
    while not select.select([process.stdout], [], [], 0.02)[0]:
        if source:
            source.drain(Nowhere())
    taken = time.monotonic() - begin
    if source:
        source.finish(Nowhere())
        source.close()
    process.communicate()
    return taken


def main() -> int:
    """Print the table."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    everywhere = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as place:
        program = build(Path(place))
        for name, cpus in (("free", everywhere), ("one CPU", {min(everywhere)})):
            os.sched_setaffinity(0, cpus)
            for way, make in (("breakpoints", BreakpointSource), ("uprobes", UprobeSource)):
                try:
                    costs = [
                        (seconds(program, calls, make) - seconds(program, calls, None)) / calls * 1e6
                        for _ in range(REPEATS)
                    ]
                except LlamactlError as error:
                    print(f"{way:12} {name:8} not here: {error}")
                    continue
                low, middle = min(costs), statistics.median(costs)
                print(f"{way:12} {name:8} {middle:6.1f} us a call (best {low:.1f}), {calls} calls")
    return 0


if __name__ == "__main__":
    sys.exit(main())
