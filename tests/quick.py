"""Run the tests that need no engine, no recorder and no model: seconds, for `make quick`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/render",
    "tests/snapshot/gguf",
    "tests/snapshot/host",
    "tests/snapshot/gpu",
    "tests/test_docs.py",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "trace").glob("test_*.py")),
)
WITH_MORE = (
    "tests/render/test_run_line_waits.py",
    "tests/snapshot/gguf/test_gguf_kinds.py",
    "tests/trace/test_against_strace.py",
    "tests/trace/test_gil_word.py",
)
"""Of those, what loads llama.cpp or records programs."""

if __name__ == "__main__":
    left_out = [f"--ignore={path}" for path in WITH_MORE]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *left_out, *sys.argv[1:], *TESTS]))
