"""A thread of ours that looks at the program while it waits: after exec, and when libraries have come or gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.trace.record.syscalls.native import lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.record.syscalls.ptrace import PtraceEngine

WAIT_MS = 100
EXECUTED = 2


class Lookout:
    """Answers the recorder's questions until the engine closes.

    Args:
        engine: It mustn't have started.
        look: Gets the process and whether it has just executed; may give breakpoints to the recorder.
    """

    def __init__(self, engine: PtraceEngine, look: Callable[[int, bool], None]) -> None:
        self._engine = engine
        self._look = look
        self._ended = threading.Event()
        self.failure = ""
        lib.program_looks(engine.program)
        engine.before_close = self.end
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        program = self._engine.program
        try:
            asked = 0
            while not self._ended.is_set() and asked >= 0:
                asked = int(lib.program_look(program, WAIT_MS))
                if asked > 0:
                    self._answer(program, asked == EXECUTED)
        finally:
            lib.program_looks_no_more(program)

    def _answer(self, program: Any, executed: bool) -> None:
        try:
            self._look(self._engine.state().pid, executed)
        except (LlamactlError, OSError) as error:
            self.failure = str(error)  # The program goes on; its calls are missing.
        except Exception as error:
            self.failure = f"an internal error, please report it: {type(error).__name__}: {error}"
        finally:
            lib.program_looked(program)

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
