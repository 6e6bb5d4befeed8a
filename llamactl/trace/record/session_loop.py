"""The loop of one recording, from its beginning to a closed capture."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError, UsageError
from llamactl.process.files.holders import process_name
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.span import Span
from llamactl.trace.record.arguments import with_kept_arguments
from llamactl.trace.record.kin import Kin
from llamactl.trace.record.metadata import closing_facts, opening_facts
from llamactl.trace.record.session_kept import Kept
from llamactl.trace.record.session_parts import Parts
from llamactl.trace.record.session_signals import Answers
from llamactl.trace.record.session_types import Progress, SessionOptions, SessionResult, exit_code
from llamactl.trace.record.setuid_programs import notes_on_setuid
from llamactl.trace.record.source import Recording, Source
from llamactl.trace.record.sources import make_sources
from llamactl.trace.record.syscalls.base import Batch, Command, Engine, State
from llamactl.trace.record.syscalls.choose import Choice
from llamactl.trace.record.syscalls.refusal import setuid_notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.capture.writer import CaptureWriter

POLL_S = 0.1
FULL = ("limit", "error")
"""Ends at which nothing more may be kept."""
SYSTEM_CALLS = "System calls"
THE_END = "What is known after the last record"
"""What is missing, and said so, when that part of a recording fails."""


@dataclass(slots=True)
class Session:
    """A recording that goes on: the engine is asked for records, its sources for what those don't tell."""

    target: Command | int
    options: SessionOptions
    writer: CaptureWriter
    choice: Choice
    progress: Callable[[Progress], None] | None
    parts: Parts = field(default_factory=Parts)
    _ended: str = "exit"
    _stopping: bool = False
    _begin: float = 0.0
    _span: Span = field(default_factory=Span)
    _cpu_before: float = 0.0
    kept: Kept = field(init=False)
    recording: Recording = field(init=False)
    answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self.kept = Kept(self.writer, self.options, self.parts, lambda: self._stop("error"))
        self.recording = Recording(self.target, self.options, self.engine, self.parts)
        make_sources(self.recording)
        self.answers = Answers(self.parts, self.ours, lambda: self.engine.state().pid, self._stop, self.kill)

    @property
    def engine(self) -> Engine:
        """What records system calls, and resumes the program where it stops."""
        return self.choice.engine

    @property
    def ours(self) -> bool:
        """Whether we started the program."""
        return isinstance(self.target, Command)

    def run(self) -> SessionResult:
        """Record from the beginning to a closed capture.

        Raises:
            LlamactlError: The recording couldn't begin.
        """
        self.writer.metadata(
            opening_facts(self.target, self.choice, self.options.selection, self.options.keep_argv)
        )
        self._start()
        try:
            self._publish()
            self._record()
        except Exception as error:
            self.parts.failed("The recording", error)
            self._see_out()
        return self._close()

    def _record(self) -> None:
        more = True
        while more:
            finished = self.engine.state().finished
            batch = self._poll(finished)
            self.parts.run(SYSTEM_CALLS, lambda: self._keep(batch), None)  # noqa: B023 - called at once
            self._between(finished)
            more = batch is not None or not finished  # What was recorded last may fill several batches.
        self._span.end()

    def _ask(self, step: Callable[[Source], None], fatal: bool = False, stopped: bool = True) -> None:
        """Let each source do one step; what fails costs a note.

        Args:
            step: What to do.
            fatal: Whether an error with a remedy is the user's to see.
            stopped: Whether to go on with the next one when recording was stopped meanwhile.
        """
        for source in self.recording.sources:
            if self._stopping and not stopped:
                return
            try:
                step(source)
            except Exception as error:
                if fatal and isinstance(error, LlamactlError):
                    raise
                self.kept.failed(source.missing, error)

    def _write(self, step: Callable[[Source, Kept], None], stopped: bool = True) -> None:
        """Let each source write, as long as the capture can be written."""
        self._ask(lambda source: None if self.kept.error else step(source, self.kept), stopped=stopped)

    def _publish(self) -> None:
        """Give a kept capture its name; the program is there, and runs on where that fails."""
        try:
            self.writer.publish()
        except LlamactlError as error:
            self.kept.error = error
            self._stop("error")

    def _see_out(self) -> None:
        """Record no more; a started program runs to its end."""
        self._stop("error")
        while not self.engine.state().finished:
            self._poll(False)

    def free(self) -> None:
        """Let go of the program, or end it where it hasn't ended, and of everything else."""
        for close in (self.engine.close, *(source.close for source in self.recording.sources)):
            self.parts.run("What comes last", close, None)

    def _poll(self, finished: bool) -> Batch | None:
        """Return what the engine has; without that it isn't asked for more, but the program runs on."""
        try:
            return self.engine.poll(0 if finished else self._span.time_left(self.options.duration_s, POLL_S))
        except Exception as error:
            self.parts.failed(SYSTEM_CALLS, error)
            self._stop("error")
            time.sleep(0 if finished else POLL_S)
            return None

    def kill(self) -> None:
        """End the program that was started, since its user wants it so."""
        self._ended = "interrupt"
        self.engine.kill()

    def _notes(self, engine: tuple[str, ...]) -> tuple[str, ...]:
        setuid = notes_on_setuid(Capture.open(self.writer.path)) if self.ours and setuid_notes() else ()
        return (*engine, *setuid, *(note for source in self.recording.sources for note in source.notes))

    def _start(self) -> None:
        self._begin, self._cpu_before = time.monotonic(), time.process_time()
        if isinstance(self.target, Command):
            self._ask(lambda source: source.prepare(self.kept), fatal=True)
            command = self._as_started(self.target)
            self.answers.heed()
            self._ask(lambda source: source.starting(True))
            self.engine.start(command)
            self._ask(lambda source: source.starting(False))
        else:
            self._attach(self.target)
        self._span.begin()
        begin_ns = self._span.begin_ns or 0
        self._write(lambda source, kept: source.begun(kept, begin_ns))
        if not self.ours:
            self._span.looked()
        self.answers.begin()

    def _as_started(self, command: Command) -> Command:
        for source in self.recording.sources:
            plain = command
            command = self.parts.run(source.missing, lambda: source.command(plain), plain)  # noqa: B023
        return command

    def _attach(self, pid: int) -> None:
        if pid == os.getpid():
            raise UsageError(f"process {pid} is llamactl itself")
        kin = Kin(pid, self.options.children)
        self.writer.metadata(kin.facts())
        self.recording.others = tuple(kin.others)
        self._ask(lambda source: source.prepare(self.kept), fatal=True)
        self.answers.heed()
        self.engine.attach(pid, kin.others)
        self._ask(lambda source: source.attach(), fatal=True)

    def _keep(self, batch: Batch | None) -> None:
        if batch is None or self.kept.error is not None or self._ended in FULL:
            return
        batch = with_kept_arguments(batch, self.options.keep_argv)
        records = batch.records
        for source in self.recording.sources:
            records = source.of_program(records, batch.strings)
        self.kept.rebase(records, batch.strings)
        self._ask(lambda source: source.saw(records))
        # What the engine still had when recording ended belongs to it, as far as it had begun.
        kept = self._span.cut(records)
        for source in self.recording.sources:
            plain = kept
            kept = self.parts.run(source.missing, lambda: source.translate(plain, self.kept), plain)  # noqa: B023
        self.kept.write(kept)

    def _between(self, finished: bool) -> None:
        """What is done a few times a second: sources, limits, progress."""
        elapsed = self._span.length_s()
        self._write(lambda source, kept: source.drain(kept, finished), stopped=False)
        options = self.options
        if options.duration_s is not None and elapsed >= options.duration_s and not finished:
            self._stop("duration")
        if self.kept.full():
            self._stop("limit")
        if self.progress is not None:
            state = self.engine.state()
            left = self._left_running(state)
            told = Progress(
                state.pid, elapsed, self.kept.records, self.writer.bytes_written, state.lost, left
            )
            show = self.progress
            self.parts.run("The live view", lambda: show(told), None)

    def _left_running(self, state: State) -> tuple[tuple[int, str], ...]:
        """Return what still runs of a program that we started, whose own process has ended."""
        if not self.ours or state.wait_status is None or state.finished:
            return ()
        return tuple((pid, process_name(pid)) for pid in self.recording.family.alive() if pid != state.pid)

    def _stop(self, why: str) -> None:
        """Record no more. A started program runs on to its end, an attached one is let go."""
        if self._stopping:
            return
        self._stopping = True  # At once: what follows may fail, and end up here again.
        self._ended = why
        self._span.end()
        self._write(lambda source, kept: source.stop(kept))
        let_go = self.engine.pass_through if self.ours else self.engine.detach
        self.parts.run("The end of the recording", let_go, None)
        self._ask(lambda source: source.let_go())

    def _close(self) -> SessionResult:
        self._write(lambda source, kept: source.finish(kept))
        state = self.engine.state()
        lost = state.lost + sum(source.lost for source in self.recording.sources)
        notes = self.parts.run("Notes", lambda: self._notes(state.notes), state.notes)
        complete = self._ended == "exit" and not lost
        traced_s = time.monotonic() - self._begin
        result = SessionResult(
            engine=self.engine.name,
            reasons=self.choice.reasons,
            blind=self.engine.blind,
            notes=notes,
            pid=state.pid,
            exit_code=None if state.wait_status is None else exit_code(state.wait_status),
            ended=self._ended,
            complete=complete,
            records=self.kept.records,
            lost=lost,
            traced_s=traced_s,
            recorder_cpu_s=time.process_time() - self._cpu_before,
            per_record_ns=self.choice.per_record_ns,
            error=self.kept.error,
        )
        if self.kept.error is None:
            least: dict[str, Any] = {"pid": state.pid, "exit_code": result.exit_code, "ended": self._ended}
            facts = self.parts.run(THE_END, lambda: self._facts(result, state), least)
            facts["notes"] = list(notes := (*notes, *self.parts.notes))
            result = replace(result, notes=notes, complete=complete and not self.parts.any_failed)
            self.kept.close(facts, result.complete)
        return replace(result, error=self.kept.error)

    def _facts(self, result: SessionResult, state: State) -> dict[str, Any]:
        """Return what is known after the last record; what can't be found out is None."""
        choice = self.choice
        facts = closing_facts(result, state, choice.plain_call_ns, choice.per_stop_ns) | self._span.metadata()
        for source in self.recording.sources:
            facts |= self.parts.run(source.missing, source.facts, dict[str, Any]())
        return facts
