"""One recording, from the choice of an engine to a closed capture."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError, UsageError
from llamactl.trace import sampler
from llamactl.trace.arguments import with_kept_arguments
from llamactl.trace.boundary.attached import AttachedCalls, catch_if_possible, catch_started
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD
from llamactl.trace.capture.span import Span
from llamactl.trace.engines.base import Batch, Command, Engine, Options
from llamactl.trace.engines.choose import Choice, choose_engine
from llamactl.trace.engines.refusal import setuid_notes
from llamactl.trace.family import Family
from llamactl.trace.files_left import files_left
from llamactl.trace.marks import VARIABLE
from llamactl.trace.metadata import closing_facts, opening_facts
from llamactl.trace.phases_pipe import PhasePipe
from llamactl.trace.regions import find_regions
from llamactl.trace.scheduling import SchedulingSampler
from llamactl.trace.session_agent import AgentPart
from llamactl.trace.session_signals import OwnSignals, send, terminal_sends_it
from llamactl.trace.session_types import Progress, SessionOptions, SessionResult
from llamactl.trace.setuid_programs import notes_on_setuid

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.capture.writer import CaptureWriter

POLL_S = 0.1
INTERRUPTS_TO_KILL = 2
LOOKS_FOR_REGIONS = 10
FULL = ("limit", "error")
"""Ends at which nothing more may be kept."""


def record(
    target: Command | int,
    options: SessionOptions,
    writer: CaptureWriter,
    progress: Callable[[Progress], None] | None = None,
) -> SessionResult:
    """Record a command from its start, or a running process, and close the capture.

    Ctrl-C: an attached program is let go; a started one gets its own SIGINT and is recorded to its end, and
    the second Ctrl-C kills it. SIGTERM is passed on to a started program.

    Raises:
        LlamactlError: The recording couldn't begin: what was refused, why, and the remedy.
    """
    choice = choose_engine(
        options.engine, Options(options.selection, options.faults, asks=_asks(target, options)),
        attach=not isinstance(target, Command),
    )  # fmt: skip
    session = _Session(target, options, writer, choice, progress)
    try:
        with OwnSignals(session.interrupt):
            return session.run()
    finally:
        choice.engine.close()
        session.close_marks()
        session.close_calls()
        session.scheduling.close()
        session.agent.close()


@dataclass(slots=True)
class _Session:
    target: Command | int
    options: SessionOptions
    writer: CaptureWriter
    choice: Choice
    progress: Callable[[Progress], None] | None
    interrupts: int = 0
    _records: int = 0
    _ended: str = "exit"
    _stopping: bool = False
    _error: LlamactlError | None = None
    _begin: float = 0.0
    _span: Span = field(default_factory=Span)
    _cpu_before: float = 0.0
    _read_before: int = 0
    _next_sample: float = 0.0
    _looks: int = 0
    _regions: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _marks: PhasePipe | None = field(default=None)
    _calls: AttachedCalls | None = field(default=None)
    _uncaught: str = ""
    agent: AgentPart = field(init=False)
    scheduling: SchedulingSampler = field(init=False)
    family: Family = field(default_factory=Family)

    def __post_init__(self) -> None:
        self.agent = AgentPart(self.options.calls and self.ours, self.options.watch)
        self.scheduling = SchedulingSampler(started=self.ours)

    @property
    def engine(self) -> Engine:
        return self.choice.engine

    @property
    def ours(self) -> bool:
        return isinstance(self.target, Command)

    def run(self) -> SessionResult:
        self.writer.metadata(
            opening_facts(self.target, self.choice, self.options.selection, self.options.keep_argv)
        )
        self._start()
        self.writer.publish()
        more = True
        while more:
            finished = self.engine.state().finished
            batch = self.engine.poll(0 if finished else self._span.time_left(self.options.duration_s, POLL_S))
            self._keep(batch)
            self._between(finished)
            more = batch is not None or not finished  # What was recorded last may fill several batches.
        self._read_marks()
        if not self._stopping:
            self._span.end()
            self._write(self.scheduling.finish(self.writer))
        self._from_agent(self.agent.finish)
        return self._close()

    def interrupt(self, number: int) -> None:
        """React to a signal to llamactl itself; called between two bytecodes of the main thread."""
        pid = self.engine.state().pid
        if not self.ours:
            self._stop("interrupt")
        elif number != signal.SIGINT:
            send(pid, number)
        else:
            self.interrupts += 1
            if self.interrupts >= INTERRUPTS_TO_KILL:
                self._ended = "interrupt"
                self.engine.kill()
            elif not terminal_sends_it():
                send(pid, number)

    def _notes(self, engine: tuple[str, ...]) -> tuple[str, ...]:
        agent = (self.agent.note,) if self.agent.note else ()
        uncaught = (self._uncaught,) if self._uncaught else ()
        setuid = notes_on_setuid(Capture.open(self.writer.path)) if self.ours and setuid_notes() else ()
        return (*engine, *setuid, *agent, *uncaught, *(self._calls.notes if self._calls is not None else ()))

    def close_calls(self) -> None:
        if self._calls is not None:
            self._calls.close()

    def close_marks(self) -> None:
        if self._marks is not None:
            self._marks.close()

    def _start(self) -> None:
        self._begin, self._cpu_before = time.monotonic(), time.process_time()
        self._read_before = sampler.children_read_bytes()
        if isinstance(self.target, Command):
            self._write(sampler.descriptors(os.getpid(), self.writer, only=(0, 1, 2)))
            if self.options.calls and self.options.breakpoints:
                self._calls = catch_started(self.engine, self.agent.stand_down)
            command = self.agent.command(self._with_marks(self.target), self.engine)
            self.agent.inherit(True)
            self.engine.start(command)
            self.agent.inherit(False)
            self._span.begin()
            self._forget_write_end()
        else:
            if self.target == os.getpid():
                raise UsageError(f"process {self.target} is llamactl itself")
            if self.options.calls:
                self._calls, self._uncaught = catch_if_possible(
                    self.target, self.engine, self.options.breakpoints, bool(self.options.watch)
                )
            self._sample(self.target)
            self.engine.attach(self.target)
            if self._calls is not None:
                self._calls.attached()
            self._span.begin()
            for look in (sampler.thread_names, sampler.descriptors, sampler.mappings):
                self._write(look(self.target, self.writer))
        if self.options.sample_s:
            self._look_at_threads()

    def _with_marks(self, command: Command) -> Command:
        if not self.options.marks:
            return command
        self._marks = PhasePipe()
        env = dict(os.environ if command.env is None else command.env)
        env[VARIABLE] = str(self._marks.write_end)
        return Command(command.argv, env, command.cwd)

    def _forget_write_end(self) -> None:
        if self._marks is not None:
            self._marks.close_write_end()

    def _keep(self, batch: Batch | None) -> None:
        if batch is None or self._error is not None or self._ended in FULL:
            return
        batch = with_kept_arguments(batch, self.options.keep_argv)
        base = self.writer.add_arena(batch.strings) if len(batch.strings) else 0
        records = self.agent.of_program(batch)
        for name in ("text", "text2"):
            column = records[name]
            if base > 0:
                column[column != 0] += np.uint32(base)
            elif base < 0:
                column[:] = 0  # The arena is full: the records stay, their strings don't.
        self.family.follow(records)
        # What the engine still had when recording ended belongs to it, as far as it had begun.
        records = self._span.cut(self.agent.translate(records, self.writer))
        self._write(records if self._calls is None else self._calls.translate(records, self.writer))

    def _write(self, records: Any) -> None:
        if self._error is None:
            records = records[: self._room()]
            try:
                self.writer.records(records)
                self._records += len(records)
            except LlamactlError as error:
                self._error = error
                self._stop("error")

    def _room(self) -> int | None:
        """Return how many records may still be kept; those of one batch may be more than the limit."""
        records, size = self.options.limit_records, self.options.limit_bytes
        rooms = [] if records is None else [records - self._records]
        if size is not None:
            rooms.append(-(-(size - self.writer.bytes_written) // RECORD.itemsize))
        return max(min(rooms), 0) if rooms else None

    def _between(self, finished: bool) -> None:
        """What is done a few times a second: samples, marks, limits, progress."""
        now = time.monotonic()
        elapsed = self._span.length_s()
        if not finished and self.options.sample_s and now >= self._next_sample and not self._stopping:
            self._sample(self.engine.state().pid)
            self._next_sample = now + self.family.pause_s(self.options.sample_s)
            if not self._regions and self._looks < LOOKS_FOR_REGIONS:
                self._looks += 1
                self._regions = find_regions(self.engine.state().pid)
        self._read_marks()
        if self.options.sample_s and not finished and not self._stopping:
            self._look_at_threads()
            self._write(self.scheduling.take(self.writer))
        if self._calls is not None and self._error is None and not self._stopping:
            self._calls.drain(self.writer)
        if not self._stopping:
            self._from_agent(self.agent.drain)
        options = self.options
        if options.duration_s is not None and elapsed >= options.duration_s and not finished:
            self._stop("duration")
        if options.limit_records is not None and self._records >= options.limit_records:
            self._stop("limit")
        if options.limit_bytes is not None and self.writer.bytes_written >= options.limit_bytes:
            self._stop("limit")
        if self.progress is not None:
            state = self.engine.state()
            self.progress(Progress(state.pid, elapsed, self._records, self.writer.bytes_written, state.lost))

    def _sample(self, pid: int) -> None:
        if self.options.sample_s:
            self.family.begin([pid])
            self._write(self.family.sample())

    def _look_at_threads(self) -> None:
        self.scheduling.look_at({self.engine.state().pid, *self.agent.processes(), *self.family.alive()})

    def _read_marks(self) -> None:
        if self._marks is not None and not self._stopping:
            records = self._marks.read()
            if len(records):
                self._write(records)

    def _from_agent(self, take: Callable[[CaptureWriter], int]) -> None:
        if self._error is None:
            try:
                self._records += take(self.writer)
            except LlamactlError as error:
                self._error = error

    def _stop(self, why: str) -> None:
        """Record no more. A started program runs on to its end, an attached one is let go."""
        if self._stopping:
            return
        self._span.end()
        self._write(self.scheduling.finish(self.writer))
        self._from_agent(self.agent.finish)
        # What the program did up to here is known only with a sample behind it.
        self._sample(self.engine.state().pid)
        self._stopping = True
        self._ended = why
        if self.ours:
            self.engine.pass_through()
        else:
            self.engine.detach()

    def _close(self) -> SessionResult:
        state = self.engine.state()
        lost = state.lost + self.agent.lost
        complete = self._ended == "exit" and not lost
        traced_s = time.monotonic() - self._begin
        phases = self._marks.phases if self._marks is not None else []
        result = SessionResult(
            engine=self.engine.name,
            reasons=self.choice.reasons,
            blind=self.engine.blind,
            notes=self._notes(state.notes),
            pid=state.pid,
            exit_code=None if state.wait_status is None else _exit_code(state.wait_status),
            ended=self._ended,
            complete=complete,
            records=self._records,
            lost=lost,
            traced_s=traced_s,
            recorder_cpu_s=time.process_time() - self._cpu_before,
            per_record_ns=self.choice.per_record_ns,
            error=self._error,
        )
        if self._error is None:
            if self._calls is not None:
                self._calls.finish(self.writer)
            facts = closing_facts(
                result, state, self.choice.plain_call_ns, self.choice.per_stop_ns, phases, self._regions
            )
            if self.ours and result.exit_code is not None:
                facts["disk_read_bytes"] = sampler.children_read_bytes() - self._read_before
            facts["files_left"] = files_left(Capture.open(self.writer.path))
            self.writer.metadata({**facts, **self._span.metadata()})
        self.writer.close(complete)
        return result


def _asks(target: Command | int, options: SessionOptions) -> bool:
    return isinstance(target, Command) and options.calls and options.watch is not False


def _exit_code(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code
