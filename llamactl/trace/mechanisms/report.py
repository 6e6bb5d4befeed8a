"""Everything a capture tells, drawn in two passes (three when there are page faults)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.capture.record import Kind
from llamactl.trace.decode.filters import Selection
from llamactl.trace.mechanisms.buffers.buffer_rows import BufferRow, buffer_rows
from llamactl.trace.mechanisms.by_phase import PhaseRow, PhaseTable
from llamactl.trace.mechanisms.cost import Cost, own_cost
from llamactl.trace.mechanisms.cpu.cpu_time import CpuRow, cpu_rows, waited_between_calls
from llamactl.trace.mechanisms.cpu.cpu_use import CpuUse, cpu_use
from llamactl.trace.mechanisms.cpu.scheduling import Scheduling
from llamactl.trace.mechanisms.disk.disk import DiskRow, DiskTable
from llamactl.trace.mechanisms.disk.generation_reads import GenerationReads, PageIn, ReaderTable, none_waited
from llamactl.trace.mechanisms.disk.load import LoadFacts, load_facts
from llamactl.trace.mechanisms.end.endings import Ending, endings
from llamactl.trace.mechanisms.end.endings import Evidence as EndEvidence
from llamactl.trace.mechanisms.end.left_running import LeftRunning, left_running
from llamactl.trace.mechanisms.end.processes import ProcessRow, ProcessTable
from llamactl.trace.mechanisms.end.sent_signals import SignalTable
from llamactl.trace.mechanisms.files.fds import FdTable
from llamactl.trace.mechanisms.files.files import FileRow, FileTable
from llamactl.trace.mechanisms.files.left_files import LeftFile, left_files
from llamactl.trace.mechanisms.gil.event_loop import BlockedLoop, EventLoopTable
from llamactl.trace.mechanisms.gil.garbage import Garbage, garbage
from llamactl.trace.mechanisms.gpu.gpu_calls import GpuCalls
from llamactl.trace.mechanisms.gpu.offload import DeviceFacts, device_facts
from llamactl.trace.mechanisms.interface.attribution import FunctionWork, work_by_function
from llamactl.trace.mechanisms.interface.crossings import FunctionRow, Tokens, tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange, IntArray, unfinished
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts, exchange_facts
from llamactl.trace.mechanisms.interface.sampler_share import SamplerShare, sampler_share
from llamactl.trace.mechanisms.interface.uncaught import Uncaught, uncaught
from llamactl.trace.mechanisms.mapping.at_start import AtStart
from llamactl.trace.mechanisms.mapping.mapping_index import MappingIndex
from llamactl.trace.mechanisms.mapping.mapping_rows import MappingRow, mapped_once, mapping_rows
from llamactl.trace.mechanisms.mapping.mappings import MappingTable
from llamactl.trace.mechanisms.mapping.python_runtime import SYMBOL, runtime_regions
from llamactl.trace.mechanisms.memory.counters import CounterRow, CounterTable
from llamactl.trace.mechanisms.memory.faults import FaultRow, FaultTable, TensorReader, TensorRow
from llamactl.trace.mechanisms.memory.fetched import fetched, mapped_in
from llamactl.trace.mechanisms.memory.memory_growth import MemoryGrowth, memory_growth
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.order import Timeline
from llamactl.trace.mechanisms.phases import Phases, find_phases
from llamactl.trace.mechanisms.requests.request_rows import RequestRow, request_rows
from llamactl.trace.mechanisms.requests.requests import DECODES
from llamactl.trace.mechanisms.select import PostFilter
from llamactl.trace.mechanisms.slow.first_token import FirstToken, first_token
from llamactl.trace.mechanisms.slow.slow_measures import Evidence
from llamactl.trace.mechanisms.slow.slow_tokens import SlowToken, slow_tokens
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots, BlindTable
from llamactl.trace.mechanisms.syscalls.calls import CallRow, CallTable
from llamactl.trace.mechanisms.syscalls.connects import ConnectTable, Unanswered
from llamactl.trace.mechanisms.syscalls.missing import Missing, MissingTable
from llamactl.trace.mechanisms.syscalls.refusals import AlwaysFailed, Refusal, RefusalTable
from llamactl.trace.mechanisms.threads.futexes import FutexRow, FutexTable
from llamactl.trace.mechanisms.threads.pinning import Pin, PinningTable
from llamactl.trace.mechanisms.threads.spinning import Spinning, spinning
from llamactl.trace.mechanisms.threads.standing import (
    StandingRow,
    UnansweredRow,
    standing_rows,
    unanswered_rows,
)
from llamactl.trace.mechanisms.threads.threads import ThreadRow, ThreadTable, find_threads
from llamactl.trace.mechanisms.threads.workers import WorkerRow, WorkerTable
from llamactl.trace.mechanisms.view import View

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture


ATTRIBUTED_RECORDS = 1_000_000
"""More system calls and page faults (100 MB of them) aren't looked up call by call."""


@dataclass(frozen=True, slots=True)
class TraceReport:
    """The facts of one capture; every row has ``name`` and ``count``."""

    command: tuple[str, ...]
    begin_ns: int
    length_s: float
    cost: Cost
    phases: list[PhaseRow]
    phase_source: str
    calls: list[CallRow]
    files: list[FileRow]
    mappings: list[MappingRow]
    mappings_not_kept: int
    threads: list[ThreadRow]
    processes: list[ProcessRow]
    endings: list[Ending]
    futexes: list[FutexRow]
    faults: list[FaultRow]
    layers: list[TensorRow]
    tensors: list[TensorRow]
    load: list[LoadFacts]
    open_at_start: dict[bytes, int]
    """Descriptors by file that a program had when recording began; empty for one that was started."""
    disk: list[DiskRow]
    counters: list[CounterRow]
    cpu: list[CpuRow]
    cpu_use: CpuUse | None
    pins: list[Pin]
    requests: list[RequestRow]
    garbage: Garbage | None
    sampler_share: SamplerShare | None
    waited_between_calls_ns: int
    """How long the threads that make the tokens were ready without a CPU after the decodes."""
    first_token: FirstToken | None
    signals: int
    exchange: ExchangeFacts | None
    uncaught: list[Uncaught]
    slow_tokens: list[SlowToken]
    spinning: Spinning | None
    memory_growth: MemoryGrowth | None
    blocked_loops: list[BlockedLoop]
    work: list[FunctionWork]
    workers: list[WorkerRow]
    buffers: list[BufferRow]
    devices: DeviceFacts | None
    """What lies on devices by the engine's own buffers; None where the agent saw none being made."""
    standing: list[StandingRow]
    unanswered_requests: list[UnansweredRow]
    refusals: list[Refusal]
    always_failed: list[AlwaysFailed]
    unanswered: list[Unanswered]
    missing: list[Missing]
    left_files: list[LeftFile]
    left_running: LeftRunning | None
    blind: BlindSpots
    generation_reads: GenerationReads
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def functions(self) -> list[FunctionRow]:
        """Per function of llama.cpp; empty where no call was seen."""
        return self.exchange.functions if self.exchange is not None else []


class _Tables:
    """All analyses of one capture."""

    def __init__(self, capture: Capture, phases: Phases) -> None:
        self.names = Names(capture.text)
        self.fds = FdTable(self.names)
        self.calls = CallTable()
        self.by_phase = PhaseTable(phases)
        self.files = FileTable(self.names)
        self.workers = WorkerTable(self.names)
        self.mappings = MappingTable(self.names)
        self.threads = ThreadTable(phases, capture)
        self.processes = ProcessTable(capture.text, capture.metadata)
        self.futexes = FutexTable(phases)
        self.event_loops = EventLoopTable()
        self.disk = DiskTable(phases, self.names)
        self.readers = ReaderTable(phases, self.names)
        self.blind = BlindTable(self.names, capture.metadata)
        self.gpu_calls = GpuCalls(self.names)
        self.pinning = PinningTable()
        self.at_start = AtStart(self.names, capture.metadata)
        self.signals_sent = SignalTable()
        self.refusals = RefusalTable(self.names, capture.metadata)
        self.connects = ConnectTable(self.names)
        self.missing = MissingTable(self.names, capture.metadata)
        self.counters = CounterTable([str(name) for name in capture.metadata.get("counters", [])])
        self.lost = 0
        self.faults = 0
        self.agent = 0
        self.signals = 0

    def add(self, view: View, kept: View, resolved: np.ndarray[Any, Any]) -> None:
        self.calls.add(kept)
        self.by_phase.add(kept)
        self.threads.add(kept)
        self.processes.add(kept)
        self.futexes.add(kept)
        self.event_loops.add(view)
        self.disk.add(view, resolved, self.fds.other)
        self.readers.add(view, resolved, self.fds.other)
        self.blind.add(view, resolved)
        self.workers.add(view, resolved)
        self.mappings.add(view, resolved)
        self.gpu_calls.add(view, resolved)
        self.pinning.add(view)
        self.at_start.add(view)
        self.signals_sent.add(view)
        self.refusals.add(view, resolved)
        self.connects.add(view)
        self.missing.add(view, resolved)
        self.counters.add(view)
        self.lost += int(view.of_kind(Kind.LOST)["ret"].sum())
        self.faults += int((view.kind == Kind.FAULT).sum())
        self.agent += int(((view.kind == Kind.CALL) | (view.kind == Kind.GIL)).sum())
        self.signals += int((view.kind == Kind.SIGNAL).sum())


def analyse(
    capture: Capture, selection: Selection | None = None, tensors: TensorReader | None = None
) -> TraceReport:
    """Draw all facts from a capture; the memory needed doesn't grow with it.

    Args:
        capture: The capture.
        selection: Which system calls to count; files and mappings are followed through all of them.
        tensors: Reads the tensors of a GGUF file, for faults by layer; None leaves that out.
    """
    chosen = selection or Selection()
    timeline = Timeline(capture)
    phases = find_phases(timeline, capture.metadata)
    tables = _Tables(capture, phases)
    called = find_threads(timeline, phases, capture) if chosen.threads else {}
    post = PostFilter(chosen, phases, called, tables.names)
    for view in timeline:
        resolved = tables.fds.resolve(view)
        kept, kept_names, kept_others = view, resolved, tables.fds.other
        if not chosen.shows_all:
            keep = post.keep(view, resolved)
            kept, kept_names, kept_others = _narrowed(view, keep), resolved[keep], kept_others[keep]
        tables.files.add(kept, kept_names, kept_others)
        tables.add(view, kept, resolved)
    faults = _faults(timeline, tables, tensors, phases)
    return _report(capture, tables, phases, faults)


def _narrowed(view: View, keep: np.ndarray[Any, Any]) -> View:
    """Return the piece without the SYSCALL records that aren't wanted; other records stay."""
    wanted = np.ones(len(view), dtype=bool)
    wanted[view.calls] = keep
    return View(view.records[wanted], view.first)


def _faults(
    timeline: Timeline, tables: _Tables, tensors: TensorReader | None, phases: Phases
) -> FaultTable | None:
    if not tables.faults:
        return None
    faults = FaultTable(
        tables.mappings.all(), tables.names, tensors or (lambda _: []), phases, tables.processes.forks()
    )
    for view in timeline:
        faults.add(view)
    return faults


def _report(capture: Capture, tables: _Tables, phases: Phases, faults: FaultTable | None) -> TraceReport:
    begin, end = capture.begin_ns, capture.end_ns
    length = (end - begin) / 1e9
    mappings = mapping_rows(tables.mappings, tables.names, begin, faults is not None)
    blind = tables.blind.found(mappings)
    files = tables.files.rows(blind.io_uring_files)
    files = mapped_once(files, mappings)
    open_files = tables.at_start.open_files()
    exchange = exchange_facts(capture)
    kernel = _kernel_records(capture) if exchange is not None else None
    records = exchange.exchange if exchange is not None else None
    scheduling = Scheduling.of(capture.chunks(), capture.text)
    collected = garbage(capture.chunks(), records, exchange.tokens if exchange else None)
    cpu = cpu_rows(scheduling, phases, records, end)
    counted = 0 if exchange is None else sum(calls for calls, _ in exchange.exchange.counted.values())
    lost = tables.lost or int(capture.metadata.get("lost") or 0)
    tables.processes.waited_for(int(capture.metadata.get("pid") or 0), capture.metadata.get("wait_status"))
    lives = tables.processes.lives()
    disk = fetched(tables.counters, lives, capture.metadata, begin, end)
    processes = tables.processes.rows(begin, disk.by_process(), tables.counters.largest("rss_bytes"))
    mapped = mapped_in(tables.counters, lives, capture.metadata, begin)
    return TraceReport(
        command=tuple(str(word) for word in capture.metadata.get("argv") or ()),
        begin_ns=begin,
        length_s=length,
        cost=own_cost(capture.metadata, capture.complete, lost, capture.count, length, tables.agent, counted),
        phases=tables.by_phase.rows(),
        phase_source=phases.source,
        calls=tables.calls.rows(),
        files=files,
        mappings=mappings,
        mappings_not_kept=tables.mappings.not_kept,
        threads=tables.threads.rows(begin, blind.futexes),
        processes=processes,
        endings=endings(tables.processes.ends(), _evidence_of_ends(capture, tables, records)),
        futexes=tables.futexes.rows(tables.mappings, tables.names, _regions(tables, capture.metadata)),
        faults=faults.roles() if faults else [],
        layers=faults.layers() if faults else [],
        tensors=faults.tensors() if faults else [],
        load=load_facts(files, mappings, blind, open_files, tables.at_start.mapped(mappings, begin)),
        open_at_start=open_files,
        disk=tables.disk.rows(disk, mapped, begin, end, blind),
        counters=tables.counters.rows(phases),
        cpu=cpu,
        cpu_use=cpu_use(cpu, scheduling, phases, records, end),
        pins=tables.pinning.pins,
        garbage=collected,
        requests=request_rows(exchange.requests, begin) if exchange else [],
        sampler_share=sampler_share(exchange.exchange, exchange.tokens) if exchange else None,
        waited_between_calls_ns=waited_between_calls(scheduling, records, exchange.tokens)
        if exchange and records
        else 0,
        first_token=first_token(phases, begin, tables.at_start.attached, records),
        signals=tables.signals,
        exchange=exchange,
        uncaught=uncaught(records or Exchange.of_capture(capture), capture.metadata, files),
        slow_tokens=_slow(exchange, scheduling, kernel, tables.gpu_calls, faults, collected),
        spinning=spinning(exchange.exchange, scheduling) if exchange is not None else None,
        memory_growth=memory_growth(
            tables.counters.series("rss_bytes"), phases, exchange.exchange if exchange is not None else None
        ),
        blocked_loops=tables.event_loops.blocked(exchange.exchange) if exchange else [],
        work=work_by_function(exchange.exchange, kernel) if exchange and kernel is not None else [],
        workers=tables.workers.rows(exchange),
        buffers=buffer_rows(exchange.exchange, tables.mappings.all(), tables.names.name) if exchange else [],
        devices=device_facts(exchange.exchange) if exchange else None,
        generation_reads=GenerationReads(
            tables.readers.rows(), _page_ins(tables, phases, faults, mappings), blind.reads
        ),
        blind=blind,
        left_running=left_running(processes, capture.metadata, length),
        left_files=left_files(files, capture.metadata),
        refusals=tables.refusals.rows(),
        always_failed=tables.refusals.always_failed(),
        unanswered=tables.connects.rows(phases),
        missing=tables.missing.rows(),
        unanswered_requests=unanswered_rows(capture.metadata.get("unanswered_requests")),
        standing=standing_rows(capture.metadata.get("standing")),
        metadata=dict(capture.metadata),
    )


def _evidence_of_ends(capture: Capture, tables: _Tables, exchange: Exchange | None) -> EndEvidence:
    return EndEvidence(
        signals=tables.signals_sent,
        process_names=tables.processes.names(),
        parents=tables.processes.parents(),
        mappings=lambda: MappingIndex(tables.mappings.all()),
        names=tables.names,
        exchange=exchange,
        metadata=capture.metadata,
        begin_ns=capture.begin_ns,
    )


def _page_ins(
    tables: _Tables, phases: Phases, faults: FaultTable | None, mappings: list[MappingRow]
) -> list[PageIn] | None:
    """Return whose pages were waited for: from faults, or by counters that none was; None where nothing tells."""
    if faults is not None:
        return faults.page_ins()
    holders = {row.pid for row in mappings if row.role == "weights"}
    return [] if none_waited(tables.counters.series("major_faults"), holders, phases) else None


def _kernel_records(capture: Capture) -> np.ndarray[Any, Any] | None:
    """Return the system calls and page faults by start; None when there are none or too many."""
    parts, count = [], 0
    for chunk in capture.chunks():
        mine = chunk[(chunk["kind"] == Kind.SYSCALL) | (chunk["kind"] == Kind.FAULT)]
        parts.append(mine)
        count += len(mine)
        if count > ATTRIBUTED_RECORDS:
            return None
    if not count:
        return None
    records = np.concatenate(parts)
    return records[np.argsort(records["start"], kind="stable")]


def _slow(
    exchange: ExchangeFacts | None,
    scheduling: Scheduling | None,
    kernel: np.ndarray[Any, Any] | None,
    gpu_calls: GpuCalls,
    faults: FaultTable | None,
    collected: Garbage | None,
) -> list[SlowToken]:
    if exchange is None or exchange.per_token.in_c_us is None:
        return []
    rows = exchange.tokens
    if unfinished(exchange.exchange.calls[exchange.exchange.named(*DECODES)]):
        rows = tokens(exchange.exchange, still_open=True)  # A token that hangs is the slowest of all.
    evidence = Evidence(
        system_calls=kernel[kernel["kind"] == Kind.SYSCALL] if kernel is not None else None,
        gpu_calls=gpu_calls.records(),
        scheduling=scheduling,
        faults=kernel[kernel["kind"] == Kind.FAULT] if kernel is not None and faults else None,
        place=faults.place if faults else None,
        collecting=_collecting(exchange, rows, collected),
    )
    return slow_tokens(exchange.exchange, rows, exchange.gil.waits, evidence)


def _collecting(exchange: ExchangeFacts, rows: Tokens, collected: Garbage | None) -> IntArray | None:
    """Return the collector's time in each token; one that was still open isn't among those it was looked up for."""
    if collected is None or collected.token_ns is None:
        return None
    found = np.zeros(len(rows), np.int64)
    found[np.isin(rows.index, exchange.tokens.index)] = collected.token_ns
    return found


def _regions(tables: _Tables, metadata: dict[str, Any]) -> dict[str, list[tuple[int, int]]]:
    """Return the address ranges that tell locks apart: the recorder's, which are the first process's, and the files'.

    What starts the interpreter, such as a shell, has none itself.
    """
    kept = metadata.get("regions")
    regions = {
        str(name): [(int(low), int(high)) for low, high in ranges]
        for name, ranges in (kept if isinstance(kept, dict) else {}).items()
    }
    if tables.futexes:
        more = runtime_regions(tables.mappings.all(), tables.names)
        found = dict.fromkeys([*regions.get(SYMBOL, []), *more])
        return {**regions, SYMBOL: list(found)} if found else regions
    return regions
