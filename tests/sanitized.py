"""Run pytest with the sanitizers loaded into this process alone: see sanitize.sh."""

from __future__ import annotations

import os
import sys

import pytest

TESTS = (
    "tests/snapshot/kernel",
    "tests/snapshot/process/test_address_ranges.py",
    "tests/snapshot/gguf",
    "tests/trace/recorder/test_counts.py",
    "tests/trace/recorder/test_life.py",
    "tests/trace/recorder/test_filters_in_kernel.py",
    "tests/trace/boundary",
    "tests/fuzz",
)
"""What runs our C in pytest's own process; other tests start llamactl as a program."""
LEFT_OUT = "not breakpoints_are_taken_out_when_we_are_ended and not killed_tracer_leaves_no_uprobe"
"""They start llamactl as a program, which has no sanitizer's library then."""
SHORT = (
    "tests/snapshot/kernel",
    "tests/snapshot/process/test_address_ranges.py",
    "tests/snapshot/gguf/test_gguf_hostile.py",
    "tests/snapshot/gguf/test_gguf_check.py",
    "tests/trace/recorder/test_counts.py",
)
"""For each change: a minute."""

if __name__ == "__main__":
    os.environ.pop("LD_PRELOAD", None)
    words = sys.argv[1:]
    chosen = any(not word.startswith("-") for word in words)
    tests = () if chosen else SHORT if os.environ.get("LLAMACTL_SANITIZE_SHORT") else TESTS
    sys.exit(pytest.main([*words, *tests, *([] if chosen else ["-k", LEFT_OUT])]))
