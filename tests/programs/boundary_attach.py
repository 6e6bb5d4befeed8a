"""Attach to a process with breakpoints, say "armed", and wait to be ended in some way: boundary_attach.py PID."""

from __future__ import annotations

import sys

from llamactl.trace.record.calls.breakpoint_source import BreakpointSource


class Nowhere:
    def add_arena(self, strings: object) -> int:
        return 0

    def add_string(self, text: bytes) -> int:
        return 0

    def records(self, records: object) -> None:
        pass


source = BreakpointSource(int(sys.argv[1]))
print("armed", flush=True)
while True:
    source.drain(Nowhere())  # type: ignore[arg-type]
