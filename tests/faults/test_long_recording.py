"""A server that generates is recorded for long: memory, descriptors and file stay bounded, its text is unchanged.

Some seconds in the suite; ``make hour`` for 3600 (SECONDS).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from aftermath import check_capture
from long_recording import PROGRAMS, Sample, Server
from support import python_with_llama_cpp

from llamactl.trace.record.agent.library import find_agent
from llamactl.trace.record.agent.ring import SIZE_LIMIT

SHORT_S, LONG_S = 5.0, 500.0
SECONDS = float(os.environ.get("LLAMACTL_HOUR_SECONDS", SHORT_S))
LOG = os.environ.get("LLAMACTL_HOUR_LOG")
SAMPLE_EVERY_S = min(10.0, SECONDS / 12)
FEWEST = 3
"""Samples, however slow the machine."""
REST = 3
"""Times as long as an answer took: the machine is others' too."""
SETTLED = 0.25
"""Of the time: until then buffers grow to their size."""
MOST_GROWTH_BYTES = 8 << 20
MOST_MEMORY_BYTES = 128 << 20
MOST_PER_REQUEST = 1 << 20
"""Bytes of capture for a request of 12 tokens, threads' waits included."""
MOST_AT_REST_PER_S = 20 << 10
"""Bytes of capture for a second in which nothing is asked."""


def servers(folder: Path, model_file: str) -> list[Server]:
    own = [sys.executable, str(PROGRAMS / "serve_threads.py"), model_file]
    # llama-cpp-python takes llamactl's engine.
    alone = ["env", "-u", "PYTHONPATH", f"LLAMA_CPP_LIB_PATH={find_agent().parent}"]
    other = [*alone, python_with_llama_cpp(), "-P", str(PROGRAMS / "serve_llama_cpp.py"), model_file]
    found = [
        Server("threads started", own, False, folder / "a"),
        Server("llama_cpp attached", other, True, folder / "b"),
    ]
    if SECONDS > SHORT_S:
        found.append(Server("threads attached", own, True, folder / "c"))
        found.append(Server("llama_cpp started", other, False, folder / "d"))
    return found


def check(samples: list[Sample]) -> None:
    """Memory and descriptors don't grow once they have settled; the file grows with what is recorded alone."""
    settled = samples[int(len(samples) * SETTLED) :]
    first, last = settled[0], settled[-1]
    assert max(one.memory_bytes for one in samples) < MOST_MEMORY_BYTES
    assert max(one.ring_bytes for one in samples) <= SIZE_LIMIT
    assert last.memory_bytes - first.memory_bytes < MOST_GROWTH_BYTES
    assert max(one.descriptors for one in settled) <= first.descriptors + 4
    allowed = MOST_PER_REQUEST * (last.requests - first.requests) + MOST_AT_REST_PER_S * (
        last.at_s - first.at_s
    )
    assert last.file_bytes - first.file_bytes < allowed
    half = settled[len(settled) // 2]
    if SECONDS > LONG_S:
        for what in ("file_bytes", "cpu_s"):
            early, late = rate(what, first, half), rate(what, half, last)
            assert late < 1.5 * early, f"{what} a second, with a load that stays the same"


def rate(what: str, begin: Sample, end: Sample) -> float:
    amount: float = getattr(end, what) - getattr(begin, what)
    return amount / (end.at_s - begin.at_s)


@pytest.mark.timeout(SECONDS * 1.5 + 300)
def test_a_long_recording_of_servers_stays_bounded(tmp_path: Path, model_file: str) -> None:
    found = servers(tmp_path, model_file)
    try:
        end = time.monotonic() + SECONDS
        next_sample = 0.0
        while time.monotonic() < end or len(found[0].samples) < FEWEST:
            spent = sum(server.serve_one() for server in found)
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + SAMPLE_EVERY_S
                for server in found:
                    server.sample(Path(LOG or tmp_path / "log"))
            time.sleep(spent * REST)  # The load that is wanted, not a wait for something.
        for server in found:
            server.end()
            check(server.samples)
            check_capture(server.capture)
    except BaseException:
        for server in found:
            print(server.name, *server.samples[:1], *server.samples[-1:])
        raise
    finally:
        for server in found:
            server.kill()
