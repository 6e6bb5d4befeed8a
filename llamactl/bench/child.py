"""A measuring process that another one leads: JSON lines in, JSON lines out.

``python -m llamactl.bench.child`` serves. Two of them with different engines take turns in paired mode.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from typing import Any

from llamactl.bench.measure.counters import Counters
from llamactl.bench.measure.environment import environment
from llamactl.bench.options import Options, apply_to_process
from llamactl.bench.plan import BenchTest, Case, Setup
from llamactl.bench.session import Session
from llamactl.errors import LlamactlError

PROTOCOL = 2


class Server:
    """Answers requests; each names what to ``do``."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._session = Session(self._counters)

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the answer to one request."""
        do = request["do"]
        if do == "hello":
            if request["cpus"]:
                os.sched_setaffinity(0, request["cpus"])
            options = Options(**request["options"])
            apply_to_process(options)
            self._counters = Counters.open(options.workers)
            self._session = Session(self._counters)
            return {
                "protocol": PROTOCOL,
                "environment": dataclasses.asdict(environment(self._counters, options)),
            }
        if do == "prepare":
            case = Case(Setup(**request["setup"]), BenchTest(**request["test"]))
            return self._session.prepare(case, warm_up=request["warm_up"])
        if do == "sample":
            return dataclasses.asdict(self._session.sample())
        if do == "facts":
            return dataclasses.asdict(self._session.facts(Setup(**request["setup"])))
        if do == "memory":
            memory = self._session.memory()
            return dataclasses.asdict(memory) if memory else None
        raise LlamactlError(f"request {do!r} is unknown", "Use the same llamactl on both sides.")


def serve() -> int:
    """Serve until the input ends."""
    # Whoever leads gets Ctrl-C too, and ends this process in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # A library that prints must not end up between the answers.
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        try:
            reply = {"value": server.answer(json.loads(line))}
        except LlamactlError as error:
            reply = {"error": error.message, "hint": error.hint}
        except (KeyError, TypeError, ValueError) as error:
            reply = {
                "error": f"the request can't be read ({error})",
                "hint": "Use the same llamactl on both sides.",
            }
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(serve())
