"""Fuzz with coverage: ``python tests/fuzz/fuzz.py [TARGET …] [--seconds N] [--corpus DIR]``.

Python is fuzzed with the package ``atheris``, C with clang's libFuzzer under AddressSanitizer and
UndefinedBehaviorSanitizer; where one of them isn't there, its targets are left out, and that is said. Each target
runs in a process of its own. An input that breaks one is kept in the corpus. Status 1 when one was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

from seeds import seeds
from targets import TARGETS

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent.parent / "llamactl" / "native"
NATIVE_TARGETS = {
    "gguf-c": ("native_gguf.c", "snapshot/gguf.c"),
    "smaps-c": ("native_smaps.c", "snapshot/proc.c"),
    "ring-c": ("native_ring.c", "agent/ring.c"),
}
"""A file here with LLVMFuzzerTestOneInput, and the file of ours that it calls."""
NATIVE_SEEDS = {"smaps-c": "smaps"}
SANITIZERS = "-fsanitize=fuzzer,address,undefined"
LONGEST_S = 20
"""An input that takes longer is a fault, too."""
MOST_MIB = 2048


def main() -> int:
    """Run the targets in turn and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join([*TARGETS, *NATIVE_TARGETS]))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="inputs for each target, if the seconds suffice")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations; 0 for another one each time")
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _fuzz(options.targets[0], options)
    failed = [name for name in options.targets or _available() if not _passes(name, options)]
    if failed:
        print(f"broken: {', '.join(failed)}; the inputs are in {options.corpus}")
    return 1 if failed else 0


def _available() -> list[str]:
    names = list(TARGETS) if importlib.util.find_spec("atheris") else []
    if not names:
        print("left out: Python (atheris isn't installed)")
    if shutil.which("clang"):
        return [*names, *NATIVE_TARGETS]
    print("left out: C (clang isn't installed)")
    return names


def _passes(name: str, options: argparse.Namespace) -> bool:
    folder: Path = options.corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds().get(NATIVE_SEEDS.get(name, name), ())):
        (folder / f"seed-{number}").write_bytes(seed)
    command = [sys.executable, __file__, name, "--one"]
    command += [
        "--seconds",
        str(options.seconds),
        "--corpus",
        str(options.corpus),
        "--seed",
        str(options.seed),
        "--runs",
        str(options.runs),
    ]
    if name in NATIVE_TARGETS:
        command = [str(_compiled(name, options.corpus)), *_arguments(options, folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    runs = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("Done ")), "BROKEN")
    print(f"{name:12} {runs}", flush=True)
    if done.returncode:
        print("\n".join((done.stdout + done.stderr).splitlines()[-40:]), flush=True)
    return done.returncode == 0


def _arguments(options: argparse.Namespace, folder: Path) -> list[str]:
    limits = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-runs={options.runs}",
        f"-timeout={LONGEST_S}",
        f"-rss_limit_mb={MOST_MIB}",
        "-max_len=65536",
    ]
    return [*limits, f"-artifact_prefix={folder}/broken-", str(folder)]


def _compiled(name: str, corpus: Path) -> Path:
    harness, source = NATIVE_TARGETS[name]
    program = corpus / f"{name}.fuzzer"
    command = [
        "clang",
        "-g",
        "-O1",
        "-D_GNU_SOURCE",  # Sources that are built alone define it, too.
        "-Wno-macro-redefined",
        SANITIZERS,
        "-fno-sanitize-recover=undefined",
        f"-I{NATIVE}",
    ]
    subprocess.run([*command, str(HERE / harness), str(NATIVE / source), "-o", str(program)], check=True)
    return program


def _fuzz(name: str, options: argparse.Namespace) -> None:
    import atheris

    for seed in seeds()[name]:
        TARGETS[name](seed)  # Imports what it needs, before that is instrumented.
    _instrument(atheris)
    atheris.Setup([sys.argv[0], *_arguments(options, options.corpus / name)], TARGETS[name])
    atheris.Fuzz()


def _instrument(atheris: Any) -> None:
    """Count coverage in llamactl's own functions that are loaded."""
    for name, module in list(sys.modules.items()):
        if not name.startswith("llamactl."):
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType) and value.__module__ == name:
                setattr(module, key, atheris.instrument_func(value))


if __name__ == "__main__":
    sys.exit(main())
