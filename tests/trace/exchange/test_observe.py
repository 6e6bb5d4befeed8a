"""``llamactl run --observe``: the same text, and the report of one's own run."""

from __future__ import annotations

import subprocess
import sys

from exchange_support import environment

WORDS = ("run", "-n", "8", "-t", "1", "--temp", "0", "The capital of France is")


def llamactl(*words: str, model: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llamactl", *words, "-m", model],
        env=environment(), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


def test_observe_changes_nothing_but_adds_the_report(model_file: str) -> None:
    plain = llamactl(*WORDS, model=model_file)
    observed = llamactl(*WORDS[:1], "--observe", *WORDS[1:], model=model_file)
    assert observed.stdout == plain.stdout != ""
    report = observed.stderr[observed.stderr.index("trace: ") :]
    assert "CFFI, API mode: _engine" in report
    assert "released in 8 of 8 computing calls" in report
    assert "Own cost: " in report
    assert max(map(len, report.splitlines())) <= 80
