"""What passes between the program and its device: facts for the report, by function, by phase and by token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.gpu.device_calls import IN, ON, OUT, DeviceCalls, family_of
from llamactl.trace.mechanisms.gpu.device_errors import DeviceError, device_errors
from llamactl.trace.mechanisms.gpu.device_memory import (
    DEVICE,
    FOREVER,
    MANAGED,
    DeviceTakenRow,
    find_allocations,
    memory_rows,
)
from llamactl.trace.mechanisms.gpu.device_work import Work, find_work
from llamactl.trace.mechanisms.interface.crossings import Tokens, sums_by_token
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.phases import OUTSIDE, Phases

NOTABLE_START_NS = 10_000_000
"""A start-up that is shorter isn't worth a line."""
START_UP_NS = 1_000_000
"""Asking and launching take microseconds. A call of more than a millisecond that is the first of its kind, or far above
its kind, makes a context, loads a module or compiles."""
FAR_ABOVE = 20
SHORT_WAIT_NS = 20_000
"""A wait for a device that has nothing to do returns after 2 to 6 µs; a kernel alone takes as long."""
OF_TOKEN = ("short_waits_ns", "pageable_out_bytes", "pageable_out_ns")
STARTS = ("start", "device", "memory", "module", "launch", "launch-library", "graph")


@dataclass(frozen=True, slots=True)
class DeviceFunctionRow:
    """One function of a device's library.

    Attributes:
        name: The function.
        role: What it does.
        count: Calls, those without a record included.
        unfinished: Calls that hadn't returned at the end.
        errors: Calls that returned an error.
        total_ns: Time in them; of calls that were only counted, none.
        mean_ns: Of the calls that returned.
        max_ns: The longest.
        bytes: What they are about, together; 0 for functions without a size.
        without_record: Calls among ``count`` that were only counted, since the ring was filling.
        libraries: Where it was called.
        callers: By which objects.
    """

    name: str
    role: str
    count: int
    unfinished: int
    errors: int
    total_ns: int
    mean_ns: float | None
    max_ns: int | None
    bytes: int
    without_record: int
    libraries: tuple[str, ...]
    callers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DevicePhaseRow:
    """What was asked of the device in one phase.

    Attributes:
        name: The phase.
        count: Calls.
        launches: Kernels that the program launched one by one.
        graph_launches: Launches of whole graphs.
        library_calls: Calls of a library of linear algebra, which launches one or several kernels for each.
        kernels: Kernels that ran for all that, those of graphs included and those of the library not.
        in_bytes: From the host to the device.
        out_bytes: From the device to the host.
        on_bytes: On the device, and between devices.
        pageable_bytes: Of ``in_bytes`` and ``out_bytes``: through memory that isn't pinned. None: not known.
        waits: Calls that wait until the device is ready.
        waited_ns: Time in them.
        launching_ns: Time in launches.
        copying_ns: Time in copies: what isn't pinned is copied before the call returns.
    """

    name: str
    count: int
    launches: int
    graph_launches: int
    library_calls: int
    kernels: int
    in_bytes: int
    out_bytes: int
    on_bytes: int
    pageable_bytes: int | None
    waits: int
    waited_ns: int
    launching_ns: int
    copying_ns: int


@dataclass(frozen=True, slots=True)
class DeviceToken:
    """What a token asks of the device: means over ``tokens``; see :class:`DevicePhaseRow`."""

    tokens: int
    launches: float
    graph_launches: float
    library_calls: float
    kernels: float
    in_bytes: float
    out_bytes: float
    on_bytes: float
    waits: float
    waited_ns: float
    launching_ns: float
    copying_ns: float
    short_waits_ns: float
    """In waits that found nothing to wait for."""
    pageable_out_bytes: float
    """From the device into memory that isn't pinned; 0 also where that isn't known."""
    pageable_out_ns: float
    """In these copies, which last until all is there."""


@dataclass(frozen=True, slots=True)
class StartUp:
    """What the first use of a function cost: a context, a module, a compiler."""

    name: str
    count: int
    total_ns: int


@dataclass(frozen=True)
class DeviceCallFacts:
    """All that is no table.

    Attributes:
        families: "CUDA", "HIP", "Vulkan", as far as one of their functions was called.
        complete: Whether every call has its record; else figures are "at least".
        peak_bytes: The most memory on devices at once, as far as it was asked for by name.
        left_bytes: Memory on devices that was never given back while the program was recorded.
        token: Of one token; None where none was made.
        start_up: First uses, the most costly first.
        errors: What returned an error.
        unknown_graphs: Launches of graphs whose making wasn't seen: their kernels aren't counted.
    """

    families: tuple[str, ...]
    complete: bool
    peak_bytes: int
    left_bytes: int
    token: DeviceToken | None
    start_up: list[StartUp]
    errors: list[DeviceError]
    unknown_graphs: int

    @property
    def start_up_ns(self) -> int:
        """All first uses together."""
        return sum(row.total_ns for row in self.start_up)

    @property
    def starts_notably(self) -> bool:
        """Whether first uses take so long that they are worth a line."""
        return self.start_up_ns >= NOTABLE_START_NS


@dataclass(frozen=True)
class DeviceCallReport:
    """The facts and their tables.

    Attributes:
        facts: What is no table; None where the program asked nothing of a device.
        functions: Per function, those that took longest first.
        phases: Per phase.
        memory: What was taken, by kind, library and call.
    """

    facts: DeviceCallFacts | None
    functions: list[DeviceFunctionRow]
    phases: list[DevicePhaseRow]
    memory: list[DeviceTakenRow]


def device_call_report(
    capture: Capture, phases: Phases, exchange: Exchange | None, tokens: Tokens | None
) -> DeviceCallReport:
    """Return what was asked of devices."""
    calls = DeviceCalls.of_capture(capture)
    if calls is None:
        return DeviceCallReport(None, [], [], [])
    taken = find_allocations(calls)
    work = find_work(calls, taken)
    mine = np.isin(taken.kind, (DEVICE, MANAGED))
    used = {
        calls.functions[nr].name for nr in {*np.unique(calls.records["nr"]).tolist(), *calls.without_record}
    }
    facts = DeviceCallFacts(
        families=tuple(sorted({family_of(name) for name in used})),
        complete=calls.complete,
        peak_bytes=taken.peak((DEVICE, MANAGED)),
        left_bytes=int(taken.bytes[mine & (taken.end == FOREVER)].sum()),
        token=_token(calls, work, tokens),
        start_up=_start_up(calls),
        errors=device_errors(calls),
        unknown_graphs=int(work.unknown_graphs.sum()),
    )
    return DeviceCallReport(
        facts, _function_rows(calls), _phase_rows(calls, work, phases), memory_rows(calls, taken, exchange)
    )


def _function_rows(calls: DeviceCalls) -> list[DeviceFunctionRow]:
    numbers = {*np.unique(calls.records["nr"]).tolist(), *calls.without_record}
    names = sorted({(calls.functions[nr].name, calls.functions[nr].device) for nr in numbers})
    rows = [_function_row(calls, name, role, numbers) for name, role in names]
    return sorted(rows, key=lambda row: (-row.total_ns, -row.count, row.name))


def _function_row(calls: DeviceCalls, name: str, role: str, numbers: set[int]) -> DeviceFunctionRow:
    mine = [nr for nr in numbers if calls.functions[nr].name == name]
    rows = np.isin(calls.records["nr"], mine)
    ended = calls.ns[rows & calls.ended]
    without = sum(calls.without_record.get(nr, 0) for nr in mine)
    return DeviceFunctionRow(
        name=name,
        role=role,
        count=int(rows.sum()) + without,
        unfinished=int((rows & ~calls.ended).sum()),
        errors=int((rows & calls.failed).sum()),
        total_ns=int(ended.sum()),
        mean_ns=float(ended.mean()) if len(ended) else None,
        max_ns=int(ended.max()) if len(ended) else None,
        bytes=int(calls.bytes[rows & calls.done].sum()) if role != "free" else 0,
        without_record=without,
        libraries=tuple(sorted({calls.functions[nr].library for nr in mine})),
        callers=tuple(sorted({PurePath(calls.functions[nr].caller).name for nr in mine})),
    )


@dataclass(frozen=True)
class _Columns:
    """What is added up, by call."""

    values: dict[str, IntArray]

    @classmethod
    def of(cls, calls: DeviceCalls, work: Work) -> _Columns:
        def counted(mask: Mask) -> IntArray:
            found: IntArray = mask.astype(np.int64)
            return found

        launching, copying = calls.of_role("launch", "submit"), calls.of_role("copy", "set")
        waiting = calls.of_role("wait", "poll")
        one_by_one = (calls.role == "launch") & calls.done & ~calls.captured
        known = work.pinned >= 0
        moved = work.moved
        return cls(
            {
                "count": np.ones(len(calls.records), np.int64),
                "launches": counted(one_by_one),
                "graph_launches": counted((calls.role == "launch-graph") & calls.done),
                "library_calls": work.library,
                "kernels": work.kernels,
                "in_bytes": moved[IN],
                "out_bytes": moved[OUT],
                "on_bytes": moved[ON] + moved["between"],
                "pageable_bytes": np.where(known & (work.pinned == 0), moved[IN] + moved[OUT], 0),
                "unsure_bytes": np.where(known, 0, moved[IN] + moved[OUT]),
                "waits": counted(calls.role == "wait"),
                "waited_ns": np.where(waiting, calls.ns, 0),
                "launching_ns": np.where(launching, calls.ns, 0),
                "copying_ns": np.where(copying, calls.ns, 0),
                "short_waits_ns": np.where((calls.role == "wait") & (calls.ns < SHORT_WAIT_NS), calls.ns, 0),
                "pageable_out_bytes": np.where(work.pinned == 0, moved[OUT], 0),
                "pageable_out_ns": np.where((work.pinned == 0) & (moved[OUT] > 0), calls.ns, 0),
            }
        )


def _phase_rows(calls: DeviceCalls, work: Work, phases: Phases) -> list[DevicePhaseRow]:
    number = phases.of(calls.start)
    names = [*phases.names, OUTSIDE]
    columns = _Columns.of(calls, work).values
    rows = []
    for index in np.unique(number).tolist():
        sums = {name: int(values[number == index].sum()) for name, values in columns.items()}
        unsure = sums.pop("unsure_bytes")
        pageable = None if unsure else sums.pop("pageable_bytes")
        for name in ("pageable_bytes", *OF_TOKEN):
            sums.pop(name, None)
        rows.append(DevicePhaseRow(name=names[index], pageable_bytes=pageable, **sums))
    return rows


def _token(calls: DeviceCalls, work: Work, tokens: Tokens | None) -> DeviceToken | None:
    if tokens is None or not len(tokens):
        return None
    columns = _Columns.of(calls, work).values
    means = {
        name: float(sums_by_token(tokens.start, tokens.length_ns, tokens.tid, calls.records, values).mean())
        for name, values in columns.items()
        if name not in {"count", "pageable_bytes", "unsure_bytes"}
    }
    return DeviceToken(tokens=len(tokens), **means)


def _start_up(calls: DeviceCalls) -> list[StartUp]:
    """Return the calls that were the first of their kind, or far above it, and took long."""
    eligible = calls.of_role(*STARTS) & calls.ended
    long = eligible & (calls.ns >= START_UP_NS)
    found: dict[str, list[int]] = {}
    for nr in np.unique(calls.records["nr"][long]).tolist():
        rows = np.flatnonzero(eligible & (calls.records["nr"] == nr))
        usual = float(np.median(calls.ns[rows]))
        for row in rows[calls.ns[rows] >= START_UP_NS].tolist():
            if row == rows[0] or calls.ns[row] > FAR_ABOVE * usual:
                found.setdefault(calls.functions[nr].name, []).append(int(calls.ns[row]))
    rows_found = [StartUp(name, len(times), sum(times)) for name, times in found.items()]
    return sorted(rows_found, key=lambda row: -row.total_ns)
