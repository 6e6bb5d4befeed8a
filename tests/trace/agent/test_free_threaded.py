"""A Python without a GIL: a stand-in, since no such build can be installed from where the others come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent_support import compile_program

from llamactl.trace.mechanisms.gil.gil import GilVerdict, gil_report
from llamactl.trace.mechanisms.interface.crossings import function_rows
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Ring


def test_no_gil_is_asked_for(built: Path) -> None:
    link = (f"-L{built}", f"-Wl,-rpath,{built}", "-Wl,-z,lazy", "-rdynamic", "-lllama")
    program = compile_program("cc", built / "free_threaded", ["free_threaded.c"], *link)
    with Ring() as ring:
        environment = agent_environment({}, find_agent(), ring.address)
        subprocess.run([str(program)], env=environment, check=True, timeout=60)
        records = ring.finish()
        assert (ring.free_threaded, ring.python_version) == (True, "3.14.0")
        assert records["flags"].tolist() == [0] * 3, "neither held nor released"
        exchange = Exchange.of([records], ring.functions(), ring.text, ring.free_threaded)
        (row,) = function_rows(exchange)
        assert (row.name, row.count, row.gil_unknown, row.places) == ("llama_decode", 3, 3, ())
        assert gil_report(exchange).verdict is GilVerdict.NO_GIL
