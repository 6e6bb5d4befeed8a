"""Python programs end as they do without the agent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from agent_support import PROGRAMS, Trace

CHILDREN = """
import asyncio, subprocess, sys
code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).llama_n_ctx(1)"
subprocess.run([sys.executable, "-c", code, sys.argv[1]], check=True)
async def main():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, sys.argv[1])
    loop = asyncio.get_running_loop()
    import ctypes
    library = ctypes.CDLL(sys.argv[1])
    await asyncio.gather(*(loop.run_in_executor(None, library.llama_n_ctx, i) for i in range(20)))
    assert await child.wait() == 0
asyncio.run(main())
"""

INTERRUPTED = """
import ctypes, os, signal, sys, threading
library = ctypes.CDLL(sys.argv[1])
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
while True:
    library.llama_sleep_us(100)
"""


def test_daemon_threads_at_the_end(built: Path, traced: Trace, python: str) -> None:
    for _ in range(3):
        result = traced(python, PROGRAMS / "agent_daemons.py", built / "libllama.so")
        assert (result.returncode, result.out, result.err) == (5, "end\n", "")
        assert result.counts()["llama_sleep_us"] > 0


def test_children_are_traced_too(built: Path, traced: Trace, python: str) -> None:
    result = traced(python, "-c", CHILDREN, built / "libllama.so")
    assert (result.returncode, result.err) == (0, "")
    calls = result.calls("llama_n_ctx")
    assert sorted((calls["pid"] == pid).sum() for pid in set(calls["pid"].tolist())) == [1, 1, 20]
    assert result.losses.records == 0


@pytest.mark.parametrize("with_agent", [False, True])
def test_an_interrupt_reaches_python(built: Path, traced: Trace, python: str, with_agent: bool) -> None:
    command = [python, "-c", INTERRUPTED, str(built / "libllama.so")]
    done = traced(*command) if with_agent else subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -2, "KeyboardInterrupt ends in SIGINT"
