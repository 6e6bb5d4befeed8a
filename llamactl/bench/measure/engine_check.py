"""May an engine of another commit be used with the code that was compiled for ours? Checked before it measures.

llamactl calls the engine by the headers of one commit. Another build fits if it has every function, and if it lays
out the structs in the same way: as a table of compilers' answers tells (``layouts.json``), or, for a commit that
isn't in it, as the bytes show that its functions return. What functions mean can't be checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from llamactl.engine.layout import accepting, compiled_commit, returned_structs
from llamactl.errors import LlamactlError
from llamactl.process.elf import read_elf
from llamactl.process.engine.abi import compare_layouts, find_layouts

HINT = "Build llamactl for that engine and use --against-python."
PROBE_TIMEOUT_S = 60
Bytes = list[int | None]


def other_commit(directory: Path, environment: dict[str, str]) -> str | None:
    """Return the commit of the engine in a directory if it isn't ours but fits; ``None`` if it is ours.

    Args:
        directory: Where its ``libllama.so`` is.
        environment: In which a Python finds this llamactl, and that engine before any other.

    Raises:
        LlamactlError: It doesn't say its commit, or doesn't fit.
    """
    ours, theirs = compiled_commit(), _stated_commit(directory)
    if theirs == ours:
        return None
    said = _probe(directory, {**environment, **accepting(theirs)})
    if not theirs:
        raise LlamactlError(f"the engine in {str(directory)!r} doesn't say of which commit it is", HINT)
    known = find_layouts("", "", theirs), find_layouts("", "", ours)
    if known[0] and known[1]:
        checks = compare_layouts(known[1]["structs"], known[0]["structs"])
        differences = [f"{one.name}: {what}" for one in checks for what in one.differences]
    else:
        differences = _differences(said)
    if differences:
        raise LlamactlError(
            f"the engine in {str(directory)!r} (commit {theirs}) has another ABI: {differences[0]}", HINT
        )
    return theirs


def _stated_commit(directory: Path) -> str:
    for name in ("libggml-base.so", "libggml.so", "libllama.so"):
        try:
            elf = read_elf(directory / name)
        except OSError:
            continue
        if elf is not None and (commit := elf.returned_string("ggml_commit")):
            return commit
    return ""


def _probe(directory: Path, environment: dict[str, str]) -> dict[str, Bytes] | None:
    command = [sys.executable, "-m", "llamactl.engine.layout"]
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LlamactlError(f"the engine in {str(directory)!r} doesn't answer", HINT) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        reason = lines[-1].removeprefix("llamactl.errors.LlamactlError: ").split(". ")[0]
        raise LlamactlError(f"the engine in {str(directory)!r} doesn't fit: {reason}", HINT)
    found: dict[str, Bytes] | None = json.loads(done.stdout)
    return found


def _differences(theirs: dict[str, Bytes] | None) -> list[str]:
    """Compare what both engines return, field by field of the structs that this code was compiled for."""
    ours = returned_structs()
    entry = find_layouts("", "", compiled_commit())
    if theirs is None or ours is None or entry is None:
        return ["the layout of its structs isn't in llamactl's table"]
    found = []
    for name in ours:
        size, fields = entry["structs"][name]["size"], entry["structs"][name]["fields"]
        behind = [place for place in range(size, len(theirs[name])) if theirs[name][place] is not None]
        if behind:
            found.append(f"{name} is longer than {size} bytes")
        found += [
            f"{name}.{field} isn't as in this engine"
            for field, (offset, length) in fields.items()
            if theirs[name][offset : offset + length] != ours[name][offset : offset + length]
        ]
    return found
