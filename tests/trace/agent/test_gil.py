"""Who has the GIL, on every CPython that llamactl supports."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from agent_support import PROGRAMS, Trace, Traced, exchange_of

from llamactl.trace.mechanisms.gil.gil import gil_report
from llamactl.trace.mechanisms.interface.binding import BindingKind, bindings
from llamactl.trace.mechanisms.interface.crossings import function_rows

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.gil.gil import GilFunction

PROGRAM = PROGRAMS / "agent_gil.py"


def sleeps(result: Traced) -> GilFunction:
    (row,) = [row for row in gil_report(exchange_of(result)).functions if row.name == "llama_sleep_us"]
    return row


def test_pydll_holds(built: Path, traced: Trace, python: str) -> None:
    row = sleeps(traced(python, PROGRAM, built / "libllama.so", "held"))
    assert (row.count, row.held, row.released, row.unknown) == (41, 41, 0, 0)
    assert row.longest_hold_ns is not None
    assert row.longest_hold_ns >= 500_000
    assert row.take_back_max_ns is None


def test_cdll_releases(built: Path, traced: Trace, python: str) -> None:
    result = traced(python, PROGRAM, built / "libllama.so", "released")
    row = sleeps(result)
    assert (row.count, row.held, row.released, row.unknown) == (41, 0, 41, 0)
    assert row.longest_hold_ns is None
    assert row.take_back_mean_ns is not None
    version = subprocess.run(
        [python, "-c", "import platform;print(platform.python_version())"], capture_output=True, check=True
    )
    assert version.stdout.decode().startswith(result.python or "none")


def test_the_python_line_is_known(built: Path, traced: Trace, python: str) -> None:
    source = PROGRAM.read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "library.llama_sleep_us(500)" in text)
    for what in ("held", "released"):
        exchange = exchange_of(traced(python, PROGRAM, built / "libllama.so", what))
        (row,) = [row for row in function_rows(exchange) if row.name == "llama_sleep_us"]
        assert row.places == ((str(PROGRAM), line, "<module>"),)


def test_a_wait_is_measured_and_its_holder_named(built: Path, traced: Trace, python: str) -> None:
    result = traced(python, PROGRAM, built / "libllama.so", "wait")
    truth = json.loads(result.out)
    report = gil_report(exchange_of(result))
    wait = report.waits[0]
    assert truth["waited_ns"] >= truth["held_ns"] > 100_000_000
    assert abs(wait.wait_ns - truth["waited_ns"]) <= 0.05 * truth["waited_ns"]
    assert (wait.tid, wait.holder_tid, wait.holder_call) == (truth["main"], truth["other"], "llama_sleep_us")
    assert wait.holder_place is not None
    assert wait.holder_place[2] == "sleep_long"
    row = sleeps(result)
    assert (row.held, row.released) == (1, 1)
    assert abs(row.stalled_ns - truth["held_ns"]) <= 0.05 * truth["held_ns"]


def test_ctypes_is_recognised(built: Path, traced: Trace, python: str) -> None:
    exchange = exchange_of(traced(python, PROGRAM, built / "libllama.so", "released"))
    (binding,) = bindings(exchange)
    assert binding.kind is BindingKind.CTYPES
    assert binding.libraries == (str(built / "libllama.so"),)
    assert binding.calls == 41
