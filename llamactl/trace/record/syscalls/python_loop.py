"""The loop of the engine ``python``: python-ptrace's debugger with a wait that blocks.

python-ptrace's own loop asks each thread in turn whether it has stopped, and sleeps in between. Here one
``waitpid`` waits for all of them, and the debugger does the rest: registers, memory, resuming, options.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from llamactl.process import proc_pid
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.decode.ptrace_library import (
    PtraceDebugger,
    PtraceError,
    PtraceProcess,
    ptrace_cont,
    ptrace_detach,
    ptrace_geteventmsg,
    ptrace_getsiginfo,
    ptrace_interrupt,
    ptrace_listen,
    ptrace_seize,
    ptrace_syscall,
)
from llamactl.trace.record.session_parts import Parts
from llamactl.trace.record.syscalls.python_buffer import RecordBuffer, Row
from llamactl.trace.record.syscalls.python_thread import NATIVE, Thread
from llamactl.trace.record.syscalls.seccomp import TRACE_MARK
from llamactl.trace.record.syscalls.world_calls import NO_STRICT_SECCOMP, NO_TRACER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OPTION_SECCOMP = 0x80
OPTION_EXITKILL = 0x100000
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_SECCOMP, EVENT_STOP = 1, 2, 3, 4, 7, 128
BIRTHS = {EVENT_FORK: Task.FORK, EVENT_VFORK: Task.VFORK, EVENT_CLONE: Task.CLONE}
STOP_SIGNALS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
SENT = (0, -1, -6)
"""SI_USER, SI_QUEUE, SI_TKILL: a process sent the signal (sigaction(2))."""
FAULTS = frozenset({
    signal.SIGSEGV, signal.SIGILL, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
})  # fmt: skip
PAUSE_EVERY_S, PAUSE_S = 0.02, 0.0005
SYSCALL_STOP = signal.SIGTRAP | 0x80


class DebuggerLoop:
    """Resumes threads from stop to stop. All methods belong to one OS thread.

    Threads are seized (PTRACE_SEIZE, ptrace(2)): nothing is ever sent to them that could outlive us, so a
    program isn't left stopped however llamactl ends, and a SIGSTOP of its own stops it as without us.

    Args:
        buffer: Where records go.
        selection: System calls to record, None for all.
        filtered: Whether a seccomp filter stops the program, instead of every call.
        ours: Whether the program is our child, which must die with us.
        next_stop: Waits for the next stop of any thread; returns its number and status, as ``os.waitpid``
            does. Negative: an error number; EINTR when there is a request.

    Attributes:
        recording: Cleared by others to have it record no more.
        detaching: Set by others to have it let every thread go.
        killing: Set by others to have it end the program.
        parts: What failed here; the program goes on.
        refused: What the program asked for and couldn't have because of us: bits of ``world_calls``.
    """

    def __init__(
        self,
        buffer: RecordBuffer,
        selection: frozenset[int] | None,
        filtered: bool,
        ours: bool,
        next_stop: Callable[[], tuple[int, int]],
    ) -> None:
        self.recording = True
        self.detaching = False
        self.killing = False
        self.started = not ours
        self.stops = 0
        self._next_pause = 0.0
        self.root = 0
        self.wait_status: int | None = None
        self._buffer = buffer
        self._selection = selection
        self._filtered = filtered
        self._next_stop = next_stop
        self._threads: dict[int, Thread] = {}
        self._debugger = PtraceDebugger()
        self._debugger.traceFork()
        self._debugger.traceClone()
        self._debugger.traceExec()
        self.parts = Parts()
        self.refused = 0
        self._interrupted = False
        if ours:
            self._debugger.options |= OPTION_EXITKILL | (OPTION_SECCOMP if filtered else 0)

    def take_child(self, pid: int, loop: bool) -> None:
        """Attach to a child that waits before its exec; it goes on when its gate is opened."""
        self.root = pid
        self.started = loop
        self._attach(pid, pid)

    def take_running(self, pid: int, others: Sequence[int] = ()) -> None:
        """Attach to all threads of a process, those included that start meanwhile, and of others that live."""
        self.root = pid
        self._take(pid)
        if not self._threads:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        for other in others:
            with suppress(ProcessLookupError):
                self._take(other)

    def _take(self, pid: int) -> None:
        seen: set[int] = set()
        while new := set(_threads_of(pid)) - seen:
            seen |= new
            for tid in new - set(self._threads):
                self._attach_if_there(tid, pid)

    def run(self) -> None:
        """Handle stops until no thread is left."""
        while self._threads:
            tid, status = self._next_stop()
            self._obey()
            if tid == -errno.EINTR:
                continue
            if tid < 0:
                break
            self.stops += 1
            self._let_others_run()
            try:
                thread = self._threads.get(tid) or self._new_thread(tid, _process_of(tid))
                self._handle(thread, status)
            except Exception as error:
                if isinstance(error, PtraceError) and error.errno == errno.ESRCH:
                    continue  # It was killed while it was stopped; its end comes through waitpid.
                self.parts.failed("System calls", error)
                self._let_run(tid, status)

    def _let_others_run(self) -> None:
        """Sleep for a moment every so often.

        Where stops follow without a pause, this thread has the GIL back before another one has woken up for it:
        the session would record on beyond its time, and be deaf to Ctrl-C.
        """
        now = time.monotonic()
        if now >= self._next_pause:
            time.sleep(PAUSE_S)
            self._next_pause = now + PAUSE_EVERY_S

    def _obey(self) -> None:
        """Do what was asked for meanwhile."""
        if self.killing:
            for pid in {thread.pid for thread in self._threads.values()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        elif self.detaching and not self._interrupted:
            self._interrupted = True
            for tid in self._threads:
                with suppress(PtraceError):
                    ptrace_interrupt(tid)

    def _let_run(self, tid: int, status: int) -> None:
        """Whatever failed at a stop: the thread runs on, with its signal if that is what stopped it."""
        if not os.WIFSTOPPED(status):
            if tid in self._threads:
                self._forget(tid)
            return
        number = os.WSTOPSIG(status)
        own = status >> 16 or number == SYSCALL_STOP
        with suppress(PtraceError):
            (ptrace_cont if self._filtered else ptrace_syscall)(tid, 0 if own else number)

    def record_no_more(self) -> None:
        """From another thread: what is under way is known to have lasted until now."""
        self.recording = False
        for thread in list(self._threads.values()):
            thread.still_in_call(self._buffer)

    def _new_thread(self, tid: int, pid: int) -> Thread:
        process = PtraceProcess(self._debugger, tid, is_attached=True, is_thread=tid != pid)
        thread = self._threads[tid] = Thread(process, tid, pid)
        self._debugger.dict[tid] = process
        return thread

    def _attach(self, tid: int, pid: int) -> None:
        """Seize a thread and have it stop once; the loop resumes it then, so that it tells of its calls."""
        ptrace_seize(tid, self._debugger.options)
        self._new_thread(tid, pid)
        ptrace_interrupt(tid)

    def _attach_if_there(self, tid: int, pid: int) -> None:
        try:
            self._attach(tid, pid)
        except PtraceError as error:
            # It has ended, or was born of a seized one and is ours already.
            if error.errno != errno.ESRCH and _tracer_of(tid) not in {None, os.getpid()}:
                raise

    def _handle(self, thread: Thread, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self._ended(thread, status)
            return
        number, event = os.WSTOPSIG(status), status >> 16
        if self.detaching:
            # A signal about to be delivered goes on its way; every other stop is our own doing.
            self._let_go(thread, 0 if event or number == SYSCALL_STOP else number)
        elif event == EVENT_STOP and number in STOP_SIGNALS:
            ptrace_listen(thread.tid)  # Stay stopped, but hear SIGCONT.
        elif event:
            self._event(thread, event)
        elif number == SYSCALL_STOP:
            self._syscall_stop(thread)
        else:
            self._signal(thread, number)

    def _syscall_stop(self, thread: Thread) -> None:
        if thread.in_call:
            if self.recording and self.started:
                thread.leave(self._buffer)
            thread.in_call = False
        else:
            self._enter(thread)
        self._resume(thread)

    def _enter(self, thread: Thread) -> None:
        thread.enter(self._selection)
        self.refused |= thread.asks_for & (NO_TRACER | (NO_STRICT_SECCOMP if self._filtered else 0))

    def _event(self, thread: Thread, event: int) -> None:
        if event == EVENT_SECCOMP:
            if not thread.in_call:
                self._enter(thread)
            if ptrace_geteventmsg(thread.tid) != TRACE_MARK:
                thread.refuse()  # A filter of the program's own asks for a tracer, and there would be none.
        elif event in BIRTHS:
            self._birth(thread, event)
        elif event == EVENT_EXEC:
            thread = self._exec(thread)
        self._resume(thread)

    def _birth(self, thread: Thread, event: int) -> None:
        tid = ptrace_geteventmsg(thread.tid)
        pid = _process_of(tid) if event == EVENT_CLONE else tid
        if tid not in self._threads:
            self._new_thread(tid, pid)
        self._task(thread, BIRTHS[event], (tid, pid, 0, 0, 0, 0))

    def _exec(self, thread: Thread) -> Thread:
        """Drop the threads that exec has ended; the caller gets the first thread's number."""
        former = self._threads.get(ptrace_geteventmsg(thread.tid), thread)
        for tid in [tid for tid, other in self._threads.items() if other.pid == thread.pid]:
            if tid not in (thread.tid, former.tid):
                self._threads[tid].give_up(self._buffer)
            if tid != thread.tid:
                self._forget(tid)
        if former is not thread:
            thread.in_call, thread.nr, thread.start = former.in_call, former.nr, former.start
            thread.args, thread.texts, thread.flags = former.args, former.texts, former.flags
        if thread.process.read_mem_file:
            thread.process.read_mem_file.close()
            thread.process.read_mem_file = None  # It shows the old program's memory.
        self.started = True
        self._task(thread, Task.EXEC, (former.tid, 0, 0, 0, 0, 0), proc_pid.name_of(thread.tid))
        return thread

    def _signal(self, thread: Thread, number: int) -> None:
        if self.recording and self.started:
            origin = _origin_of(thread, number)
            now = time.monotonic_ns()
            self._buffer.add(Row(Kind.SIGNAL, 0, number, NATIVE, thread.tid, thread.pid, now, 0, 0, origin))
        self._resume(thread, number)

    def _ended(self, thread: Thread, status: int) -> None:
        if self.recording and self.started:
            thread.give_up(self._buffer)
            self._task(thread, Task.EXIT, (0,) * 6, ret=status)
        if thread.tid == self.root:
            self.wait_status = status
        self._forget(thread.tid)

    def _let_go(self, thread: Thread, number: int) -> None:
        thread.give_up(self._buffer)
        ptrace_detach(thread.tid, number)
        self._forget(thread.tid)

    def _forget(self, tid: int) -> None:
        """Drop a thread that has ended or was let go.

        python-ptrace's object detaches when it is collected, which by then would hit a thread of the same
        number that somebody has attached to anew.
        """
        self._threads.pop(tid).process.is_attached = False
        self._debugger.dict.pop(tid, None)

    def _task(
        self, thread: Thread, what: Task, args: tuple[int, ...], name: bytes = b"", ret: int = 0
    ) -> None:
        if self.recording and self.started:
            now = time.monotonic_ns()
            self._buffer.add(Row(Kind.TASK, 0, what, NATIVE, thread.tid, thread.pid, now, 0, ret, args), name)

    def _resume(self, thread: Thread, number: int = 0) -> None:
        # Not python-ptrace's methods: they never deliver a SIGTRAP, which may be the program's own.
        freely = self._filtered and not thread.in_call
        (ptrace_cont if freely else ptrace_syscall)(thread.tid, number)


def _origin_of(thread: Thread, number: int) -> tuple[int, int, int, int, int, int]:
    """Return who sent a signal, its si_code, and of a fault the address and the instruction."""
    try:
        info = ptrace_getsiginfo(thread.tid)
        sent = info.si_code in SENT
        sender = info._sigchld.pid if sent else 0
        address = (info._sigfault._addr or 0) if number in FAULTS and not sent else 0
        instruction = int(thread.process.getInstrPointer()) if number in FAULTS else 0
    except PtraceError:
        return (0,) * 6
    return (sender, info.si_code & (1 << 64) - 1, address, instruction, 0, 0)


def _threads_of(pid: int) -> list[int]:
    try:
        return proc_pid.threads_of(pid)
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error


def _tracer_of(tid: int) -> int | None:
    """Return who traces a thread, 0 for nobody; None when it has ended."""
    status = proc_pid.status_of(tid)
    return int(status.get("TracerPid", "0")) if status else None


def _process_of(tid: int) -> int:
    return int(proc_pid.status_of(tid).get("Tgid", tid))
