"""Attach again and again to programs that run: no error, no figure longer than the recording, nothing changed.

Three programs are attached to with each engine in turn: llama-cpp-python that generates, `llamactl run`, and one that
faults pages. What they print must be what they print untraced.

Run: python benchmarks/attach_many.py [--count N] [--duration S] [--engines perf,ptrace,python]
     [--programs llama-cpp-python,llamactl,faults] [--model FILE] [--python PROGRAM] [--llamactl PROGRAM]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _pairs import LLAMACTL, PACKAGE, ROOT, given_path

ENGINES = ("perf", "ptrace", "python")
PROGRAMS = ("llama-cpp-python", "llamactl", "faults")
TARGETS = Path(__file__).with_name("_attach_targets.py")
ATTACH_LIMIT_S = 120
TOKENS = 400
RUN = ("run", "-n", str(TOKENS), "-c", "1024", "--temp", "0", "-t", "1", "Tell a long story.")

SPANS = ("max_ns", "mean_ns", "longest_ns", "longest_hold_ns", "length_ns", "wait_ns", "median_ns", "wait_max_ns",
         "take_back_max_ns", "take_back_mean_ns", "explained_ns", "overlap_ns", "total_s", "in_c_us",
         "decode_us", "python_us", "gil_wait_us", "median_us")  # fmt: skip
"""Figures of one interval, which can't be longer than the recording; others are sums over threads."""
MOMENTS = ("begin_ns", "start_ns", "since_ns")
OUTSIDE = ("metadata", "cost")
"""Parts of the document that aren't about what was recorded."""


def too_large(document: dict[str, Any]) -> list[str]:
    """Return the figures of a report that are longer than its recording, each as a sentence."""
    length_ns = document["length_s"] * 1e9
    sampled = [row["largest"] for row in document["counters"] if row["name"] == "threads"]
    threads = max([len(document["threads"]), *sampled])
    parts = max(threads, os.cpu_count() or 1)
    found = []
    for path, value in _figures({key: item for key, item in document.items() if key not in OUTSIDE}):
        name = path.rpartition(".")[2]
        unit = next((ns for end, ns in (("_ns", 1.0), ("_us", 1e3), ("_s", 1e9)) if name.endswith(end)), None)
        if unit is None or name in MOMENTS:
            continue
        limit = length_ns * (1 if name in SPANS else parts)
        if value * unit > limit * 1.001:
            found.append(f"{path} is {value * unit / 1e9:.3g} s of {length_ns / 1e9:.3g} s, {parts} at once")
    return found


def _figures(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _figures(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _figures(item, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


@dataclass
class Program:
    """A program that prints one and the same thing, started again whenever it has ended."""

    command: list[str]
    env: dict[str, str]
    output: Path
    by_line: bool
    """Every line is the same; otherwise the whole output is."""
    expected: str = ""
    process: subprocess.Popen[bytes] | None = None
    changed: list[str] = field(default_factory=list)

    def learn(self) -> None:
        """Run it untraced, to know what it prints."""
        self._start()
        if self.by_line:
            while self.output.read_bytes().count(b"\n") < 2:
                time.sleep(0.05)
            self.expected = self._text().split("\n")[0]
        else:
            assert self.process is not None and self.process.wait() == 0, "it fails untraced"
            self.expected = self._text()
        self._start_if_ended()

    def pid(self) -> int:
        """Return the running process, which has printed something."""
        self._start_if_ended()
        while not self.output.read_bytes().strip():
            time.sleep(0.02)
            self._start_if_ended()
        assert self.process is not None
        return self.process.pid

    def ended(self) -> bool:
        """Whether this run of it is over."""
        return self.process is None or self.process.poll() is not None

    def end(self) -> None:
        """Let a run come to its end, or end what never does, and look at what it printed."""
        assert self.process is not None
        if self.by_line:
            self.process.terminate()
        self.process.wait()
        self._check()

    def _start(self) -> None:
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL, env=self.env
            )

    def _start_if_ended(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            return
        if self.process.returncode:
            self.changed.append(f"it ended with status {self.process.returncode}")
        self._check()
        self._start()

    def _check(self) -> None:
        text = self._text()
        if not self.by_line:
            if text != self.expected:
                self.changed.append(f"printed {text[:60]!r} …")
            return
        # A line that is being written when the program ends is short.
        self.changed += [f"printed {line[:60]!r}" for line in text.split("\n")[:-1] if line != self.expected]

    def _text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


@dataclass
class Tally:
    """What came out of many attaches."""

    attaches: int = 0
    errors: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)
    lengths_s: list[float] = field(default_factory=list)
    lost: int = 0
    calls: int = 0
    engines: Counter[str] = field(default_factory=Counter)


def attach(llamactl: str, program: Program, engine: str, duration_s: float, tally: Tally) -> None:
    """Record once, and note what was wrong."""
    command = [
        llamactl,
        "trace",
        "-p",
        str(program.pid()),
        "--duration",
        str(duration_s),
        "--engine",
        engine,
        "--format",
        "json",
    ]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=ATTACH_LIMIT_S)
    except subprocess.TimeoutExpired:
        tally.errors.append(f"didn't end within {ATTACH_LIMIT_S} s")
        return
    text = done.stderr.decode("utf-8", "replace")
    if done.returncode and program.ended():
        return  # It came to its end before it could be attached to.
    tally.attaches += 1
    try:
        document = json.loads(text[text.index("{") :])
    except ValueError:
        tally.errors.append(f"status {done.returncode}: {text.strip()[-300:]}")
        return
    if done.returncode:
        tally.errors.append(f"status {done.returncode}")
    tally.large += too_large(document)
    tally.lengths_s.append(document["length_s"])
    if document["metadata"]["ended"] == "duration" and document["length_s"] < duration_s:
        tally.errors.append(f"{document['length_s']:.3f} s recorded of {duration_s}")
    tally.lost += document["cost"]["lost"]
    tally.calls += sum(row["count"] for row in document["functions"])
    tally.engines[document["cost"]["engine"]] += 1


def program_of(name: str, folder: Path, arguments: argparse.Namespace) -> Program:
    """Return a program to attach to, not started yet."""
    env = dict(os.environ)
    if name == "llamactl":
        command = [arguments.llamactl, *RUN, *(["-m", str(arguments.model)] if arguments.model else [])]
    elif name == "faults":
        command = [sys.executable, str(TARGETS), "faults"]
    else:
        from llamactl.models.default import default_model

        env.setdefault("LLAMA_CPP_LIB_PATH", str(PACKAGE / "llamactl" / "lib"))
        command = [arguments.python, str(TARGETS), name, str(arguments.model or default_model(quiet=True))]
    return Program(command, env, folder / f"{name}.out", by_line=name != "llamactl")


def main() -> int:
    """Attach and print one line for each program and engine; return 1 when anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--count", type=int, default=200, help="attaches in all, spread over programs and engines"
    )
    parser.add_argument("--duration", type=float, default=1.0)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--model", type=given_path)
    parser.add_argument(
        "--python", default=str(ROOT / "build/peers-venv/bin/python"), help="has llama-cpp-python"
    )
    parser.add_argument("--llamactl", default=LLAMACTL)
    arguments = parser.parse_args()
    names, engines = arguments.programs.split(","), arguments.engines.split(",")
    rounds = -(-arguments.count // (len(names) * len(engines)))
    failed = False
    with tempfile.TemporaryDirectory(prefix="llamactl-attach-") as folder:
        for name in names:
            program = program_of(name, Path(folder), arguments)
            program.learn()
            tallies = {engine: Tally() for engine in engines}
            for _ in range(rounds):
                for engine, tally in tallies.items():
                    before = tally.attaches
                    while tally.attaches == before and len(tally.errors) <= rounds:
                        attach(arguments.llamactl, program, engine, arguments.duration, tally)
            program.end()
            for engine, tally in tallies.items():
                failed |= _tell(name, engine, tally)
            print(
                f"{name}: text {'CHANGED: ' + program.changed[0] if program.changed else 'unchanged'}",
                flush=True,
            )
            failed |= bool(program.changed)
    return int(failed)


def _tell(name: str, engine: str, tally: Tally) -> bool:
    lengths = sorted(tally.lengths_s) or [0.0]
    print(
        f"{name:17} {engine:7} {tally.attaches:4} attaches, {len(tally.errors)} errors,"
        f" {len(tally.large)} figures too large, {lengths[0]:.2f} to {lengths[-1]:.2f} s recorded,"
        f" {tally.calls:,} calls, {tally.lost:,} lost",
        flush=True,
    )
    for what in (*tally.errors[:3], *tally.large[:3]):
        print(f"    {what}", flush=True)
    return bool(tally.errors or tally.large)


if __name__ == "__main__":
    sys.exit(main())
