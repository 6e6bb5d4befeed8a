"""The engine ``perf``: the kernel's own event rings; the program is never stopped for a call."""

from __future__ import annotations

import errno
import os
import platform
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.base import Batch, Command, Engine, Options, State
from llamactl.trace.record.syscalls.entry_texts import EntryTexts
from llamactl.trace.record.syscalls.held import Held
from llamactl.trace.record.syscalls.native import (
    STAGES,
    Arguments,
    batch_of,
    ffi,
    find_program,
    lib,
)
from llamactl.trace.record.syscalls.perf_recorder import make_recorder
from llamactl.trace.record.syscalls.ptrace import PtraceEngine
from llamactl.trace.record.syscalls.texts import numbers_with_paths
from llamactl.trace.record.world import allow_many_files

if TYPE_CHECKING:
    from collections.abc import Sequence

EAGER = -10
IDLE_S = 0.01
HELD_STEP_S = 0.0005
NOT_TOLD_APART = "system calls of 32-bit programs are recorded with 32-bit numbers and can't be told apart"
NOT_KEPT = (
    "structures that arguments point to, other than paths, addresses and pairs of descriptors, aren't kept"
)
BY_TRACEPOINTS = "the calls come from tracepoints, at more cost, since BPF programs can't be used"


class PerfEngine(Engine):
    """Reads page faults and mappings from one ring per CPU, and system calls where the kernel allows it best.

    BPF programs of our own record a call with its strings for half a microsecond. Where they are refused,
    tracepoints do for 1.5 to 2.5 µs, in the same rings. Those hold no strings. So at the few calls that take
    a path the engine ``ptrace`` stops the program once, before the call, and reads them; calls whose strings
    are known only when they return, such as ``accept``, are left to it altogether. ``execve`` always is,
    since what it takes is gone when it returns. Each call is recorded by exactly one of the two.

    Args:
        options: What to record.
        with_strings: Whether to read strings by ptrace; not possible when attaching.

    Raises:
        LlamactlError: The tracepoints can't be had, with the remedy.
    """

    name: ClassVar[str] = "perf"
    blind: tuple[str, ...] = () if platform.machine() == "x86_64" else (NOT_TOLD_APART,)

    def __init__(self, options: Options, with_strings: bool = True) -> None:
        self._options = options
        self._notes: list[str] = []
        self._child: Any = None
        self._attached = 0
        self._block: Any = None
        self._wait_status: int | None = None
        self._loop_ns = 0
        self._restore: tuple[int, int] | None = None
        self._held = Held()
        self._texts = EntryTexts()
        self._strings: PtraceEngine | None = None
        paths = numbers_with_paths()
        stopped = paths if options.selection is None else paths & options.selection
        # Without a call to stop at ptrace still sees signals and how each process ended.
        stops = with_strings and not options.loops
        self._perf: Any = None
        self._make(stopped if stops else frozenset(), births=not stops)
        if stops:
            self._strings = PtraceEngine(
                Options(selection=self._recorder.stopped, foreign=False, asks=options.asks)
            )
            lib.tracer_entry_only(self._strings.tracer)
        if self._recorder.refused:
            self.blind = (NOT_TOLD_APART, NOT_KEPT)
            self.strings_when_attached = False
            self._notes.append(f"{BY_TRACEPOINTS}: {self._recorder.refused}")
        else:
            self.without_stops = "no signals, exit statuses and arguments of new programs"

    def start(self, command: Command) -> None:
        """See :meth:`Engine.start`."""
        if self._strings is None:
            self._start_alone(command)
            self._hurry()
            return
        lib.tracer_hold(self._strings.tracer)
        self._strings.launch(command)
        while not lib.tracer_held(self._strings.tracer):
            if lib.tracer_started(self._strings.tracer) == 2:
                self._strings.finish_start(command)
            time.sleep(HELD_STEP_S)
        try:
            self._open(self._strings.state().pid, on_exec=True)
        except LlamactlError:
            self._strings.kill_held()
            raise
        lib.perf_start(self._perf, 0, 0)
        lib.tracer_release(self._strings.tracer)
        self._strings.finish_start(command)
        self._hurry()

    @property
    def stopper(self) -> PtraceEngine | None:
        """The engine that stops the program at calls with paths; None without it."""
        return self._strings

    def attach(self, pid: int, others: Sequence[int] = ()) -> None:
        """See :meth:`Engine.attach`; without BPF, strings aren't recorded then."""
        self._attached = pid
        self._drop_strings()
        self._make(frozenset(), births=True)
        self._notes.append(f"the engine perf sees {self.without_stops} of a program that it attaches to")
        if not proc_pid.is_there(pid):  # That is told before anything is opened.
            raise LlamactlError(f"can't attach to process {pid}: there is no such process")
        processes = (pid, *others)
        if not self._recorder.refused:
            for process in processes:
                self._follow(process)
        tids = [tid for process in processes for tid in proc_pid.threads_if_any(process)]
        for tid in tids:
            self._open(tid, on_exec=False)
        lib.perf_start(self._perf, 1, pid)
        self._hurry()
        late = [tid for process in processes for tid in proc_pid.threads_if_any(process) if tid not in tids]
        if late:
            what = "" if self._recorder.refused else "their page faults "
            self._notes.append(f"{len(late)} threads began while perf was attaching; {what}may be missing")

    def poll(self, timeout_s: float) -> Batch | None:
        """See :meth:`Engine.poll`."""
        self._release()
        drained = int(lib.perf_drained(self._perf))
        finished = self._strings is not None and self.state().finished
        block = lib.perf_take(self._perf, int(timeout_s * 1000))
        batch = None
        if block != ffi.NULL:
            self._block = block
            batch = batch_of(block)
        elif lib.perf_done(self._perf) and not self.state().finished:
            # The rings are closed. An attached program may run on; one that we started is about to be reaped.
            time.sleep(min(timeout_s, IDLE_S if self._strings is None else HELD_STEP_S))
        if self._strings is None:
            return batch
        while (more := self._strings.poll(0)) is not None:
            self._held.add(self._texts.take_out(more))
        if batch is not None:
            return self._held.merge_into(self._texts.join(batch))
        return self._held.before(None if finished else drained)

    def pass_through(self) -> None:
        """See :meth:`Engine.pass_through`."""
        lib.perf_stop(self._perf)
        if self._strings is not None:
            self._strings.pass_through()

    def detach(self) -> None:
        """See :meth:`Engine.detach`."""
        lib.perf_stop(self._perf)
        if self._strings is not None:
            self._strings.detach()

    def kill(self) -> None:
        """See :meth:`Engine.kill`."""
        if self._strings is not None:
            self._strings.kill()
        elif self._child is not None and self._wait_status is None:
            os.kill(self._child.pid, 9)

    def state(self) -> State:
        """See :meth:`Engine.state`."""
        lost = int(lib.perf_lost(self._perf))
        done = bool(lib.perf_done(self._perf))
        if self._strings is not None:
            inner = self._strings.state()
            return State(
                inner.pid, done and inner.finished, inner.wait_status, lost + inner.lost, inner.stops, 0,
                (*self._notes, *inner.notes),
            )  # fmt: skip
        self._reap()
        pid = self._child.pid if self._child is not None else self._attached
        ended = self._child is None or self._wait_status is not None
        return State(pid, done and ended, self._wait_status, lost, 0, self._loop_ns, tuple(self._notes))

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        if self._perf is None:
            return
        self._release()
        if self._restore is not None:
            os.setpriority(os.PRIO_PROCESS, *self._restore)
        self._drop_strings()
        if self._child is not None:
            self.kill()
            self._reap(block=True)
            lib.launch_end(self._child)
        lib.perf_free(self._perf)
        self._perf = None

    def _hurry(self) -> None:
        """Let this thread, which writes the records out, keep up with a program that has all CPUs busy."""
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        try:
            os.setpriority(os.PRIO_PROCESS, thread, EAGER)
        except OSError:
            return  # That takes CAP_SYS_NICE; without it more may be lost, and is counted.
        self._restore = (thread, before)

    def _drop_strings(self) -> None:
        if self._strings is not None:
            self._strings.close()
            self._strings = None

    def _make(self, stopped: frozenset[int], births: bool) -> None:
        if self._perf is not None:
            lib.perf_free(self._perf)
            self._perf = None
        self._recorder = make_recorder(self._options, stopped, births)
        self._perf = self._recorder.perf

    def _follow(self, pid: int) -> None:
        """Let the programs follow all threads: until a look finds none that they don't know."""
        known: set[int] = set()
        while new := set(proc_pid.threads_if_any(pid)) - known:
            for tid in new:
                lib.perf_follow(self._perf, tid)
            known |= new

    def _start_alone(self, command: Command) -> None:
        loops = self._options.loops
        program = "" if loops else find_program(command)
        arguments = Arguments(command, program)
        child = ffi.new("struct launched *")
        path = ffi.NULL if loops else arguments.path
        code = lib.launch_start(
            child, path, arguments.argv, arguments.envp, arguments.cwd, ffi.NULL, 0, 0, loops
        )
        if code:
            raise refusal.launch_failed("fork", -code, program, command.cwd)
        self._child = child
        self._open(child.pid, on_exec=not loops)
        lib.perf_start(self._perf, 1 if loops else 0, 0)
        lib.launch_open_gate(child)
        answer = (ffi.new("int *"), ffi.new("int *"), ffi.new("uint64_t *"))
        if lib.launch_answer(child, *answer):
            stage = STAGES[answer[0][0]]
            if stage:
                raise refusal.launch_failed(stage, answer[1][0], program, command.cwd)
            self._loop_ns = answer[2][0]

    def _open(self, tid: int, on_exec: bool) -> None:
        allow_many_files()
        code = lib.perf_open(self._perf, tid, on_exec, *self._recorder.filters)
        if code == -errno.ESRCH and self._attached and tid != self._attached:
            return  # That thread has ended meanwhile.
        if code == -errno.ESRCH:
            raise LlamactlError(f"can't attach to process {tid}: there is no such process")
        if code:
            raise refusal.perf_refused(-code, refusal.read_rights())

    def _release(self) -> None:
        if self._block is not None:
            lib.perf_give_back(self._perf, self._block)
            self._block = None

    def _reap(self, block: bool = False) -> None:
        if self._child is None or self._wait_status is not None:
            return
        pid, status = os.waitpid(self._child.pid, 0 if block else os.WNOHANG)
        if pid:
            self._wait_status = status
