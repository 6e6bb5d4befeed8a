"""The loop of one recording, from its beginning to a closed capture."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError, UsageError
from llamactl.process.files.holders import process_name
from llamactl.process.memory.regions import find_regions
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.span import Span
from llamactl.trace.record.arguments import with_kept_arguments
from llamactl.trace.record.calls.attached import AttachedCalls, catch_if_possible, catch_started
from llamactl.trace.record.clocked import sampler
from llamactl.trace.record.clocked.phases_pipe import PhasePipe
from llamactl.trace.record.clocked.scheduling import SchedulingSampler
from llamactl.trace.record.ending.ending_facts import EndingFacts
from llamactl.trace.record.ending.files_left import files_left
from llamactl.trace.record.ending.refused import RefusedLimits
from llamactl.trace.record.ending.under_way import UnderWay
from llamactl.trace.record.family import Family
from llamactl.trace.record.kin import Kin
from llamactl.trace.record.metadata import closing_facts, opening_facts
from llamactl.trace.record.session_agent import AgentPart
from llamactl.trace.record.session_engines import EnginesPart
from llamactl.trace.record.session_kept import CALLS, Kept
from llamactl.trace.record.session_parts import Parts
from llamactl.trace.record.session_signals import Answers
from llamactl.trace.record.session_types import Progress, SessionOptions, SessionResult, exit_code
from llamactl.trace.record.setuid_programs import notes_on_setuid
from llamactl.trace.record.syscalls.base import Batch, Command, Engine, State
from llamactl.trace.record.syscalls.choose import Choice
from llamactl.trace.record.syscalls.refusal import setuid_notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.capture.writer import CaptureWriter

POLL_S = 0.1
LOOKS_FOR_REGIONS = 10
FULL = ("limit", "error")
"""Ends at which nothing more may be kept."""
SYSTEM_CALLS, WAITS = "System calls", "Waits for a CPU"
UNDER_WAY = "Calls that were under way at the beginning and at the end"
THE_END = "What is known after the last record"
"""What is missing, and said so, when that part of a recording fails."""


@dataclass(slots=True)
class Session:
    """A recording that goes on: the engine is asked for records, and what they don't tell is looked up meanwhile."""

    target: Command | int
    options: SessionOptions
    writer: CaptureWriter
    choice: Choice
    progress: Callable[[Progress], None] | None
    parts: Parts = field(default_factory=Parts)
    _ended: str = "exit"
    _stopping: bool = False
    _begin: float = 0.0
    _ending: EndingFacts | None = None
    _span: Span = field(default_factory=Span)
    _cpu_before: float = 0.0
    _read_before: int = 0
    _next_sample: float = 0.0
    _looks: int = 0
    _regions: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _marks: PhasePipe | None = field(default=None)
    _calls: AttachedCalls | None = field(default=None)
    _uncaught: str = ""
    kept: Kept = field(init=False)
    agent: AgentPart = field(init=False)
    engines: EnginesPart = field(init=False)
    answers: Answers = field(init=False)
    scheduling: SchedulingSampler = field(init=False)
    family: Family = field(default_factory=Family)
    refused: RefusedLimits = field(default_factory=RefusedLimits)
    under_way: UnderWay = field(default_factory=lambda: UnderWay(platform.machine()))

    def __post_init__(self) -> None:
        self.kept = Kept(self.writer, self.options, self.parts, lambda: self._stop("error"))
        self.scheduling = SchedulingSampler(self.ours, self.parts)
        wanted, watch = self.options.calls and self.ours, self.options.watch
        agent = self.parts.run(CALLS, lambda: AgentPart(wanted, watch), None)
        self.agent = agent or AgentPart(False)
        rescue = not self.options.breakpoints
        self.engines = EnginesPart(self.options.calls, self.ours, rescue, self.agent)
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
        self.parts.run("Phases", self._read_marks, None)
        if not self._stopping:
            self._span.end()
            self.kept.look(WAITS, lambda: self.scheduling.finish(self.writer))
        self._from_agent(self.agent.finish)
        self._from_agent(self.engines.finish)

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
        for held in (self.engine, self._marks, self._calls, self.scheduling, self.agent, self.engines):
            if held is not None:
                self.parts.run("What comes last", held.close, None)

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
        agent = (self.agent.note,) if self.agent.note else ()
        uncaught = (self._uncaught,) if self._uncaught else ()
        setuid = notes_on_setuid(Capture.open(self.writer.path)) if self.ours and setuid_notes() else ()
        calls = self._calls.notes if self._calls is not None else ()
        return (*engine, *setuid, *agent, *uncaught, *calls, *self.engines.notes)

    def _start(self) -> None:
        self._begin, self._cpu_before = time.monotonic(), time.process_time()
        self._read_before = sampler.children_read_bytes()
        if isinstance(self.target, Command):
            self.kept.look(
                "Open files", lambda: sampler.descriptors(os.getpid(), self.writer, only=(0, 1, 2))
            )
            if self.options.calls and self.options.breakpoints:
                self._calls = catch_started(self.engine, self.agent.stand_down)
            plain = self._with_marks(self.target)
            command = self.parts.run(CALLS, lambda: self.agent.command(plain, self.engine), plain)
            self.answers.heed()
            self.agent.inherit(True)
            self.engine.start(command)
            self.agent.inherit(False)
            self._span.begin()
            self.answers.begin()
            if self._marks is not None:
                self._marks.close_write_end()
        else:
            self._attach(self.target)
        pid = self.engine.state().pid
        self._ending = self.parts.run("The end", lambda: EndingFacts(pid), None)
        if self.options.sample_s:
            self._look_at_threads()

    def _attach(self, pid: int) -> None:
        if pid == os.getpid():
            raise UsageError(f"process {pid} is llamactl itself")
        kin = Kin(pid, self.options.children)
        self.writer.metadata(kin.facts())
        if self.options.calls:
            self._catch_calls(pid, kin.others)
        else:
            self.writer.metadata({"calls_asked": False})
        self.family.begin([pid, *kin.others])
        self._sample(pid)
        self.answers.heed()
        for process in (pid, *kin.others):
            self.parts.run(UNDER_WAY, lambda process=process: self.under_way.begin(process), None)  # type: ignore[misc]
        self.engine.attach(pid, kin.others)
        if self._calls is not None:
            self._calls.attached()
        self._span.begin()
        self.under_way.begun(self._span.begin_ns or 0)
        for process in (pid, *kin.others):
            for what, look in sampler.AT_START.items():
                self.kept.look(what, lambda look=look, process=process: look(process, self.writer))  # type: ignore[misc]
        self._span.looked()
        self.answers.begin()

    def _catch_calls(self, pid: int, others: list[int]) -> None:
        try:
            self._calls, self._uncaught = catch_if_possible(
                pid, self.engine, self.options.breakpoints, bool(self.options.watch), others
            )
            if self._uncaught:
                self.writer.metadata({"calls_refused": self._uncaught.partition(". ")[0]})
        except LlamactlError:
            raise
        except Exception as error:
            self.parts.failed(CALLS, error)

    def _with_marks(self, command: Command) -> Command:
        if not self.options.marks:
            return command
        self._marks = PhasePipe()
        return self._marks.given_to(command)

    def _keep(self, batch: Batch | None) -> None:
        if batch is None or self.kept.error is not None or self._ended in FULL:
            return
        batch = with_kept_arguments(batch, self.options.keep_argv)
        records = self.agent.of_program(batch)
        self.kept.rebase(records, batch.strings)
        self.family.follow(records)
        self.under_way.saw(records)
        self.parts.run("Limits of what was refused", lambda: self.refused.saw(records), None)
        # What the engine still had when recording ended belongs to it, as far as it had begun.
        records = self._span.cut(self.agent.translate(records, self.writer))
        self.kept.write(records if self._calls is None else self._calls.translate(records, self.writer))

    def _between(self, finished: bool) -> None:
        """What is done a few times a second: samples, marks, limits, progress."""
        now = time.monotonic()
        elapsed = self._span.length_s()
        if not finished and self.options.sample_s and now >= self._next_sample and not self._stopping:
            self._sample(self.engine.state().pid)
            self._next_sample = now + self.family.pause_s(self.options.sample_s)
            if not self._regions and self._looks < LOOKS_FOR_REGIONS:
                self._looks += 1
                pid = self.engine.state().pid
                self._regions = self.parts.run("What futexes are for", lambda: find_regions(pid), {})
        self.parts.run("Phases", self._read_marks, None)
        if self.options.sample_s and not finished and not self._stopping:
            self._look_at_threads()
            self.kept.look(WAITS, lambda: self.scheduling.take(self.writer))
        if self._calls is not None and self.kept.error is None and not self._stopping:
            self.kept.take(self._calls.drain)
        if not self._stopping:
            self._from_agent(self.agent.drain)
        if not self._stopping and not finished and self.options.sample_s:
            self._from_agent(lambda writer: self.engines.drain(self._processes(), writer))
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
        return tuple((pid, process_name(pid)) for pid in self.family.alive() if pid != state.pid)

    def _sample(self, pid: int) -> None:
        if self.options.sample_s:
            self.family.begin([pid])
            self.kept.look("Samples of memory, threads and disk", self.family.sample)

    def _processes(self) -> set[int]:
        of_agent = self.parts.run(CALLS, self.agent.processes, list[int]())
        return {self.engine.state().pid, *of_agent, *self.family.alive()}

    def _look_at_threads(self) -> None:
        processes = self._processes()
        self.parts.run(WAITS, lambda: self.scheduling.look_at(processes), None)

    def _read_marks(self) -> None:
        if self._marks is not None and not self._stopping:
            records = self._marks.read()
            if len(records):
                self.kept.write(records)

    def _from_agent(self, take: Callable[[CaptureWriter], int]) -> None:
        self.kept.records += self.kept.take(take)

    def _stop(self, why: str) -> None:
        """Record no more. A started program runs on to its end, an attached one is let go."""
        if self._stopping:
            return
        self._stopping = True  # At once: what follows may fail, and end up here again.
        self._ended = why
        self._span.end()
        self.kept.look(WAITS, lambda: self.scheduling.finish(self.writer))
        self._from_agent(self.agent.finish)
        if self._calls is not None:
            self.kept.take(self._calls.ended)
        self._from_agent(self.engines.finish)
        # What the program did up to here is known only with a sample behind it.
        self._sample(self.engine.state().pid)
        self.kept.look(UNDER_WAY, lambda: self.under_way.end(self.family.alive(), self.options, self.engine))
        let_go = self.engine.pass_through if self.ours else self.engine.detach
        self.parts.run("The end of the recording", let_go, None)
        self.parts.run(UNDER_WAY, self.under_way.look, None)

    def _close(self) -> SessionResult:
        if self._calls is not None:
            self.kept.take(self._calls.finish)
        state = self.engine.state()
        lost = state.lost + self.agent.lost
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
        phases = self._marks.phases if self._marks is not None else []
        choice = self.choice
        facts = (
            closing_facts(result, state, choice.plain_call_ns, choice.per_stop_ns, phases, self._regions)
            | self._span.metadata()
        )
        path = self.writer.path
        finds: dict[str, Callable[[], Any]] = {
            "files_left": lambda: files_left(Capture.open(path)),
            "limits": self.refused.finish,
            "unanswered_requests": lambda: self.under_way.unanswered,
            "standing": lambda: self.under_way.standing,
            "collectors_unseen": lambda: {
                str(pid): why for pid, why in self.scheduling.collectors.unseen.items()
            },
        }
        if self.ours and result.exit_code is not None:
            finds["disk_read_bytes"] = lambda: sampler.children_read_bytes() - self._read_before
        if (ending := self._ending) is not None:
            facts |= self.parts.run("The end", lambda: ending.facts(state.wait_status), dict[str, Any]())
        return facts | {name: self.parts.run(THE_END, find, None) for name, find in finds.items()}
