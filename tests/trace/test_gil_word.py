"""Waits for the GIL are told from other waits by the address of its word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.process.elf import read_elf
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.report import analyse

PROGRAM = Path(__file__).parents[1] / "programs" / "contend_gil.py"


@pytest.mark.parametrize("wrapper", [(), ("sh", "-c", '"$0" "$@"; :')], ids=["itself", "in a child"])
def test_a_contended_gil_is_found(tmp_path: Path, wrapper: tuple[str, ...]) -> None:
    elf = read_elf(Path(os.path.realpath(sys.executable)))
    if elf is None or (elf.symbol("_PyRuntime") and not elf.segments[0][0]):
        pytest.skip(
            "this interpreter is position-independent and has no library: ptrace can't see where it lies"
        )
    path = tmp_path / "gil.capture"
    subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--engine", "ptrace", "-e", "all", "-q", "-o", str(path),
         "--", *wrapper, sys.executable, "-S", "-E", str(PROGRAM)],
        check=True,
    )  # fmt: skip
    rows = {row.name: row for row in analyse(Capture.open(path)).futexes}
    assert rows["GIL"].waits >= 100
    assert rows["GIL"].threads >= 2
