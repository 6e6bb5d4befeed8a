"""How often does the gate cry wolf, and how often does it miss a loss?

Real runs of ``llamactl bench --against``, in turns: the engine against itself, and the engine against one whose
``llama_decode`` takes longer by some percent (tests/programs/slow_engine.c). Run it on a busy machine too.

    python benchmarks/bench_gate.py [--model FILE] [--engine-lib DIR] [--runs 20] [--percent 3] [--pairs 300]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _pairs import LLAMACTL, given_path

from llamactl.engine import library
from llamactl.errors import EXIT_CHECK_FAILED, EXIT_OK
from llamactl.models.default import default_model

SOURCE = Path(__file__).resolve().parent.parent / "tests" / "programs" / "slow_engine.c"
CONDITIONS = ("tg1 < 0.995", "tg1.cpu_ns > 1.005")


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=given_path, default=None, help="the default model")
    parser.add_argument("--engine-lib", type=given_path, default=library.directory(), help="llamactl's own")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--prio", type=int, default=0, help="as of llamactl bench")
    parser.add_argument("--percent", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=300)
    return parser.parse_args()


def slower(engine_lib: Path, directory: Path, percent: int) -> Path:
    """Make an engine that decodes slower and return its directory."""
    for file in engine_lib.glob("*.so"):
        shutil.copy(file, directory)
    real = directory / "libllamb.so"
    (directory / "libllama.so").rename(real)
    # Another name inside, of the same length: the loader takes one library of a name.
    real.write_bytes(real.read_bytes().replace(b"\0libllama.so\0", b"\0libllamb.so\0"))
    flags = ["-O2", "-shared", "-fPIC", f"-DEXTRA_PERCENT={percent}", "-Wl,--no-as-needed"]
    flags += ["-Wl,-soname,libllama.so", "-Wl,-rpath,$ORIGIN"]
    subprocess.run(["gcc", *flags, "-o", directory / "libllama.so", SOURCE, real], check=True)
    return directory


def failed(given: argparse.Namespace, engine: Path | None) -> dict[str, bool]:
    """Run one comparison of an engine with the one as shipped, and return which conditions failed."""
    command = [LLAMACTL, "bench", "-q", "-m", str(given.model or default_model()), "-t", "1"]
    command += ["--prio", str(given.prio)]
    command += ["-p", "0", "-n", "1", "-r", str(given.pairs), "--against", str(given.engine_lib)]
    for condition in CONDITIONS:
        command += ["--fail-if", condition]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(engine or given.engine_lib)}
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in {EXIT_OK, EXIT_CHECK_FAILED}:
        sys.exit(done.stderr)
    for line in done.stderr.splitlines():
        if line.startswith(("llamactl: FAILED", "llamactl: passed")):
            print(f"  {line.removeprefix('llamactl: ')}")
    print(f"  {time.monotonic() - begin:.0f} s, load {os.getloadavg()[0]:.1f}")
    by_condition = {condition: f"FAILED: {condition}:" in done.stderr for condition in CONDITIONS}
    return {"gate": done.returncode == EXIT_CHECK_FAILED, **by_condition}


def main() -> None:
    """Print a line after each round."""
    given = arguments()
    with tempfile.TemporaryDirectory() as directory:
        engine = slower(given.engine_lib, Path(directory), given.percent)
        alarms: Counter[str] = Counter()
        catches: Counter[str] = Counter()
        for index in range(1, given.runs + 1):
            for counts, which in ((alarms, None), (catches, engine)):
                print(f"{index}: {'same engine' if which is None else f'{given.percent} % slower'}")
                counts.update(failed(given, which))
            shown = f"false alarms {dict(alarms)}, {given.percent} % caught {dict(catches)}"
            print(f"after {index} runs of each: {shown}", flush=True)


if __name__ == "__main__":
    main()
