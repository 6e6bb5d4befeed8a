"""The engine ``python``: python-ptrace's debugger, for every architecture that python-ptrace supports."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from llamactl.trace.decode.ptrace_library import PtraceError
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.base import Batch, Command, Engine, Options, State
from llamactl.trace.record.syscalls.native import STAGES, Arguments, ffi, find_program, lib
from llamactl.trace.record.syscalls.python_buffer import RecordBuffer
from llamactl.trace.record.syscalls.python_loop import DebuggerLoop
from llamactl.trace.record.syscalls.seccomp import build_filter, encode
from llamactl.trace.record.syscalls.world_calls import ALWAYS, refused_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JOIN_STEP_S = 0.02


class PythonEngine(Engine):
    """Stops the program as the engine ``ptrace`` does, but decides in Python: about 1.5 times its cost.

    Args:
        options: What to record.
    """

    enters_again = True
    name: ClassVar[str] = "python"
    blind: tuple[str, ...] = ("page faults and the CPU a call ran on aren't seen; the engine perf sees them",)

    def __init__(self, options: Options) -> None:
        awake = lib.awake_new()
        if awake == ffi.NULL:
            raise MemoryError("no memory for the recorder")
        self._awake: Any = ffi.gc(awake, lib.awake_free)
        self._status = ffi.new("int *")
        self._options = options
        self._buffer = RecordBuffer()
        self._loop: DebuggerLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._child: Any = None
        self._attached = 0
        self._loop_ns = 0
        self._filtered = False

    def start(self, command: Command) -> None:
        """See :meth:`Engine.start`."""
        program = "" if self._options.loops else find_program(command)
        self._filtered = self._options.selection is not None
        self._run(lambda loop: self._launch(loop, command, program))
        answer = (ffi.new("int *"), ffi.new("int *"), ffi.new("uint64_t *"))
        if lib.launch_answer(self._child, *answer):
            stage = STAGES[answer[0][0]]
            if stage:
                raise refusal.launch_failed(stage, answer[1][0], program, command.cwd)
            self._loop_ns = answer[2][0]

    def attach(self, pid: int, others: Sequence[int] = ()) -> None:
        """See :meth:`Engine.attach`."""
        self._attached = pid
        rights = refusal.read_rights(pid)
        try:
            self._run(lambda loop: loop.take_running(pid, others))
        except PtraceError as error:
            raise refusal.attach_refused(pid, error.errno or 0, rights) from error
        except ProcessLookupError as error:
            raise refusal.attach_refused(pid, error.errno or 3, rights) from error

    def poll(self, timeout_s: float) -> Batch | None:
        """See :meth:`Engine.poll`."""
        self._wake()
        return self._buffer.take(timeout_s)

    def pass_through(self) -> None:
        """See :meth:`Engine.pass_through`."""
        if self._loop is not None:
            self._loop.record_no_more()

    def detach(self) -> None:
        """See :meth:`Engine.detach`; a program under our filter can't be left and is passed through."""
        if self._filtered:
            self.pass_through()
        elif self._loop is not None:
            self._loop.detaching = True
            self._wake()

    def kill(self) -> None:
        """See :meth:`Engine.kill`."""
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.killing = True
            self._loop.recording = False
            self._wake()

    def state(self) -> State:
        """See :meth:`Engine.state`."""
        loop = self._loop
        alive = self._thread is not None and self._thread.is_alive()
        pid = loop.root if loop is not None else 0
        wait_status = loop.wait_status if loop is not None and not self._attached else None
        failed = loop.parts.failures if loop is not None else 0
        notes = loop.parts.notes if loop is not None else ()
        stops = loop.stops if loop is not None else 0
        refused = refused_notes(loop.refused) if loop is not None else ()
        notes = (*refusal.setuid_notes(), *refused, *notes)
        return State(pid, not alive, wait_status, failed, stops, self._loop_ns, notes)

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._buffer.abandon()
        if self._thread is not None and self._thread.is_alive():
            if self._attached:
                self.detach()
            else:
                self.kill()
            while self._thread.is_alive():
                self._wake()
                self._thread.join(JOIN_STEP_S)
        if self._child is not None:
            lib.launch_end(self._child)
            self._child = None

    def _launch(self, loop: DebuggerLoop, command: Command, program: str) -> None:
        arguments = Arguments(command, program)
        selection = self._options.selection
        code = b"" if selection is None else encode(build_filter(selection | ALWAYS, lib.audit_arch()))
        child = ffi.new("struct launched *")
        result = lib.launch_start(
            child,
            arguments.path if program else ffi.NULL,
            arguments.argv,
            arguments.envp,
            arguments.cwd,
            ffi.from_buffer(code) if code else ffi.NULL,
            len(code) // 8,
            not refusal.read_rights().has(refusal.CAP_SYS_ADMIN),
            self._options.loops,
        )
        if result:
            raise refusal.launch_failed("fork", -result, program, command.cwd)
        self._child = child
        try:
            loop.take_child(child.pid, not program)
        except PtraceError as error:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            raise refusal.start_refused(error.errno or 0, refusal.read_rights()) from error
        lib.launch_open_gate(child)

    def _run(self, begin: Callable[[DebuggerLoop], None]) -> None:
        """Start the thread from which every ptrace request is made, and wait until it has begun."""
        self._loop = DebuggerLoop(
            self._buffer,
            self._options.selection,
            self._filtered,
            not self._attached,
            self._next_stop,
        )
        self._thread = threading.Thread(target=self._main, args=(self._loop, begin), name="llamactl-trace")
        self._thread.daemon = True
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        """Get the thread out of its wait if something was asked of it; again and again, until it is heard."""
        loop, thread = self._loop, self._thread
        asked = loop is not None and (loop.detaching or loop.killing)
        if asked and thread is not None and thread.ident is not None and thread.is_alive():
            with suppress(ProcessLookupError):
                signal.pthread_kill(thread.ident, lib.tracer_wake_signal())

    def _next_stop(self) -> tuple[int, int]:
        tid = lib.awake_next(self._awake, self._status)
        return tid, self._status[0]

    def _main(self, loop: DebuggerLoop, begin: Callable[[DebuggerLoop], None]) -> None:
        try:
            lib.tracer_prepare_thread()
            begin(loop)
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._ready.set()
            if self._failure is not None:
                self._buffer.finish()
        try:
            loop.run()
        finally:
            self._buffer.finish()
