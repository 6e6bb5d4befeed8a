"""The engine ``ptrace``: our C loop, which needs no privilege to record a program that it starts."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar

from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.base import Batch, Command, Engine, Options, State
from llamactl.trace.record.syscalls.native import (
    STAGES,
    STOPS_TO_WATCH,
    Arguments,
    batch_of,
    ffi,
    find_program,
    lib,
    selection_bits,
)
from llamactl.trace.record.syscalls.seccomp import (
    ACTION_ALLOW,
    ACTION_TRACE,
    TRACE_MARK,
    build_filter,
    encode,
)
from llamactl.trace.record.syscalls.world_calls import ALWAYS, refused_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llamactl.errors import LlamactlError

BLOCKS = 16
REQUEST_PASS, REQUEST_DETACH, REQUEST_KILL, REQUEST_ABANDON = 1, 2, 3, 4
LETTING_GO_S = 2.0
"""After this it is looked whether the kernel holds the threads that didn't stop to be let go."""
SLOW_MEMORY = (
    "process_vm_readv is refused (by a seccomp profile, or a program that hides its memory): "
    "strings are read word by word, which costs more"
)
START_STEP_S = 0.0005


class PtraceEngine(Engine):
    """Stops the program at its system calls: complete, with strings, 8 to 20 µs a call.

    Args:
        options: What to record. With a selection the filter works in the kernel (seccomp), and a call that
            isn't selected costs next to nothing.
    """

    enters_again = True
    name: ClassVar[str] = "ptrace"
    blind: tuple[str, ...] = (
        "page faults and the CPU a call ran on aren't seen; the engine perf sees them",
        "a call that another seccomp filter refuses before ours isn't seen while calls are selected",
    )

    def __init__(self, options: Options) -> None:
        self._options = options
        self._bits = selection_bits(options.selection)
        self._tracer: Any = lib.tracer_new(BLOCKS, self._bits)
        if self._tracer == ffi.NULL:
            raise MemoryError("no memory for the recorder")
        self._block: Any = None
        self._keep: tuple[Any, ...] = ()
        self._program = ""
        self._attached = False
        self._letting_go: float | None = None
        self.before_close: Callable[[], None] | None = None

    @property
    def stopper(self) -> PtraceEngine:
        """See :attr:`Engine.stopper`."""
        return self

    @property
    def tracer(self) -> Any:
        """The C recorder, for the engine that records path calls through this one."""
        return self._tracer

    @property
    def program(self) -> Any:
        """The C recorder's program, for who looks at its stops; None when the recorder is closed."""
        return None if self._tracer is None else lib.tracer_program(self._tracer)

    def start(self, command: Command) -> None:
        """See :meth:`Engine.start`; raises what the refusal says."""
        self.launch(command)
        self.finish_start(command)

    def launch(self, command: Command) -> None:
        """Let the recording thread fork and exec; :meth:`finish_start` must follow."""
        selection = self._options.selection
        self._program = "" if self._options.loops else find_program(command)
        arguments = Arguments(command, self._program)
        asked = STOPS_TO_WATCH if self._options.asks else frozenset()
        foreign = ACTION_TRACE | TRACE_MARK if self._options.foreign else ACTION_ALLOW
        code = (
            b""
            if selection is None
            else encode(build_filter(selection | asked | ALWAYS, lib.audit_arch(), foreign))
        )
        filter_bytes = ffi.from_buffer(code) if code else ffi.NULL
        self._keep = (arguments, code, filter_bytes)
        lib.tracer_launch(
            self._tracer,
            ffi.NULL if self._options.loops else arguments.path,
            arguments.argv,
            arguments.envp,
            arguments.cwd,
            filter_bytes,
            len(code) // 8,
            not refusal.read_rights().has(refusal.CAP_SYS_ADMIN),
            self._options.loops,
        )

    def finish_start(self, command: Command) -> None:
        """Wait until the program runs; raises what was refused, or KeyboardInterrupt for a Ctrl-C by then."""
        state = self._await_start()
        if state.started == 2:
            if state.wait_status_known and os.waitstatus_to_exitcode(state.wait_status) == -signal.SIGINT:
                raise KeyboardInterrupt
            raise self._failure(state, self._program, command.cwd, refusal.read_rights())

    def kill_held(self) -> None:
        """End a child that waits to be released."""
        os.kill(self.state().pid, 9)
        lib.tracer_release(self._tracer)

    def attach(self, pid: int, others: Sequence[int] = ()) -> None:
        """See :meth:`Engine.attach`; without a filter, each call of the program is stopped at."""
        self._attached = True
        rights = refusal.read_rights(pid)
        for other in others:
            lib.tracer_also(self._tracer, other)
        lib.tracer_attach(self._tracer, pid)
        state = self._await_start()
        if state.started == 2:
            raise refusal.attach_refused(pid, state.error, rights)

    def poll(self, timeout_s: float) -> Batch | None:
        """See :meth:`Engine.poll`."""
        self._release()
        if self._letting_go is not None and time.monotonic() > self._letting_go:
            self._letting_go = time.monotonic() + LETTING_GO_S
            lib.tracer_ask(self._tracer, REQUEST_ABANDON)
        block = lib.tracer_take(self._tracer, int(timeout_s * 1000))
        if block == ffi.NULL:
            return None
        self._block = block
        return batch_of(block)

    def pass_through(self) -> None:
        """See :meth:`Engine.pass_through`."""
        lib.tracer_ask(self._tracer, REQUEST_PASS)

    def detach(self) -> None:
        """See :meth:`Engine.detach`; a program under our filter can't be left and is passed through."""
        filtered = self._options.selection is not None and not self._attached
        lib.tracer_ask(self._tracer, REQUEST_PASS if filtered else REQUEST_DETACH)
        self._letting_go = None if filtered else time.monotonic() + LETTING_GO_S

    def kill(self) -> None:
        """See :meth:`Engine.kill`."""
        lib.tracer_ask(self._tracer, REQUEST_KILL)

    def state(self) -> State:
        """See :meth:`Engine.state`."""
        raw = self._raw_state()
        return State(
            pid=raw.root,
            finished=bool(raw.done),
            wait_status=raw.wait_status if raw.wait_status_known and not self._attached else None,
            lost=raw.lost,
            stops=raw.stops,
            loop_ns=raw.loop_ns,
            notes=(
                *((SLOW_MEMORY,) if raw.memory_way else ()),
                *refusal.setuid_notes(),
                *refused_notes(raw.refused),
            ),
        )

    def waits(self) -> int:
        """Return how often the program had to wait because nobody took its records."""
        return int(self._raw_state().waits)

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        if self.before_close is not None:
            self.before_close()
            self.before_close = None
        if self._tracer is not None:
            self._release()
            lib.tracer_free(self._tracer)
            self._tracer = None

    def _release(self) -> None:
        if self._block is not None:
            lib.tracer_give_back(self._tracer, self._block)
            self._block = None

    def _raw_state(self) -> Any:
        state = ffi.new("struct tracer_state *")
        lib.tracer_state_of(self._tracer, state)
        return state

    def _await_start(self) -> Any:
        """Wait until the program runs or was refused: milliseconds, and a sleep leaves it the CPU."""
        while lib.tracer_started(self._tracer) == 0:
            time.sleep(START_STEP_S)
        return self._raw_state()

    def _failure(self, state: Any, program: str, cwd: str | None, rights: refusal.Rights) -> LlamactlError:
        stage = STAGES[state.stage]
        if stage == "seize":
            return refusal.start_refused(state.error, rights)
        return refusal.launch_failed(stage, state.error, program or "the calibration loop", cwd)
