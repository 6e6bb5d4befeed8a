"""Watch the buffers that llama.cpp hands out, from the very moment on at which it does.

The thread that was handed an address waits in a stop, in which the recorder sets the watchpoints
(``native/ptrace/watch.c``). So the recorder must have the program in its hands: the engine ``ptrace``, or
``perf`` with its strings, and for programs that llamactl started the agent, which makes the stop.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.capture.record import RECORD
from llamactl.trace.record.buffers.readers import Readers
from llamactl.trace.record.calls.rings import Rings
from llamactl.trace.record.syscalls.native import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.syscalls.base import Engine

BUFFERS = ("logits", "embeddings", "state")
"""In the order of ``native/calls/handed_out.h``; records of buffer n have the numbers 2n (first) and 2n + 1 (last)."""
FLOAT_BYTES = 4
FILTERED = "the program has a seccomp filter of its own, which may kill for being asked where its buffers are"


class Watching:
    """The watched buffers of one program.

    Args:
        engine: It mustn't have started.
        registers: Whether ptrace may set the debug registers where perf events are refused. Each touch is a
            signal then, which costs more and unblocks SIGTRAP in the thread.
        perf: Whether perf events may be used.
        touches: Stop after so many touches; 0 for never.
        asks: The agent's word (``Ring.ask_for_buffers``), set to 0 when the program filters its own system
            calls; None without the agent.

    Raises:
        LlamactlError: Nothing can be watched here.
    """

    def __init__(
        self,
        engine: Engine,
        registers: bool = True,
        perf: bool = True,
        touches: int = 0,
        asks: NDArray[np.uint32] | None = None,
    ) -> None:
        holder = engine.stopper
        if holder is None:
            raise LlamactlError("the engine doesn't stop the program, so nothing can be watched")
        if asks is not None and not lib.watch_ask_allowed():
            raise LlamactlError("a seccomp filter here kills programs that say where their buffers are")
        code = int(lib.perf_watch_allowed()) if perf else -errno.EACCES
        if code and not registers:
            raise LlamactlError(
                f"perf events may not watch addresses here: {os.strerror(-code)}",
                "--watch uses ptrace then, which costs more.",
            )
        self._holder = holder
        self._rings = None if code else Rings(None)
        self._readers: Readers | None = None
        self._last: dict[str, Any] = {}
        events = ffi.NULL if self._rings is None else self._rings.perf
        # Holds the ring's memory, so that the recorder may write to it until it ends.
        self._asks: Any = ffi.NULL if asks is None else ffi.from_buffer("uint32_t[]", asks, True)
        lib.program_watch(holder.program, events, touches, self._asks)

    def resolve(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> None:
        """Name the readers in WATCH records that came through the engine, in place."""
        readers = self._known_readers()
        if readers is not None:
            readers.resolve(records, add)

    def drain(self, writer: CaptureWriter) -> int:
        """Write what perf has seen. Returns how many records that was."""
        return self._write(self._rings.take() if self._rings is not None else np.empty(0, RECORD), writer)

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left, and the metadata, while the engine is still open."""
        count = self._write(self._rings.stop() if self._rings is not None else np.empty(0, RECORD), writer)
        writer.metadata({"watch": self.metadata()})
        return count

    def _write(self, records: NDArray[np.void], writer: CaptureWriter) -> int:
        if len(records):
            self.resolve(records, writer.add_string)
            writer.records(records)
        return len(records)

    def _known_readers(self) -> Readers | None:
        length = ffi.new("uint32_t *")
        if self._readers is None and self._holder.program is not None:
            text = lib.program_watch_maps(self._holder.program, length)
            if length[0]:
                kept = bytes(ffi.buffer(text, length[0]))
                self._readers = Readers(ProcessMaps(self._state(0).process, kept))
        return self._readers

    def _state(self, buffer: int) -> Any:
        state = ffi.new("struct watch_state *")
        lib.program_watch_state(self._holder.program, buffer, state)
        return state

    def metadata(self) -> dict[str, Any]:
        """Return what was watched: the logits, and under "others" more buffers like them."""
        if self._holder.program is not None:
            states = [self._state(number) for number in range(len(BUFFERS))]
            first, *others = (_facts(name, state) for name, state in zip(BUFFERS, states, strict=True))
            self._last = {
                **first,
                "way": "ptrace" if self._rings is None else "perf",
                "pid": states[0].process or None,
                "elsewhere": states[0].elsewhere,
                "filtered": bool(states[0].filtered),
                "refused": first["refused"] or (FILTERED if states[0].filtered else None),
                "others": [facts for facts in others if facts["address"] is not None],
            }
        return self._last

    def close(self) -> None:
        """Free the rings, after the engine."""
        if self._rings is not None:
            self._rings.close()
            self._rings = None


def _facts(name: str, state: Any) -> dict[str, Any]:
    return {
        "buffer": name,
        "address": state.address or None,
        "bytes": state.bytes or None,
        "floats": state.bytes // FLOAT_BYTES or None,
        "since_ns": state.since_ns or None,
        "until_ns": state.until_ns or None,
        "last_watched": bool(state.last_watched),
        "moved": state.moves,
        "asked": True,
        "refused": _refused(-state.error) if state.error else None,
    }


def _refused(code: int) -> str:
    if code == errno.ENOSPC:
        return "no debug register is free: another buffer, a debugger or another tracer uses them"
    return f"watching was refused: {os.strerror(code)}"
