"""What several mechanisms look at: read once from the capture, shared by all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.cpu.scheduling import Scheduling
from llamactl.trace.mechanisms.end.processes import ProcessTable
from llamactl.trace.mechanisms.files.fds import FdTable
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts, exchange_facts
from llamactl.trace.mechanisms.mapping.at_start import AtStart
from llamactl.trace.mechanisms.mapping.mapping_rows import MappingRow, mapping_rows
from llamactl.trace.mechanisms.mapping.mappings import MappingTable
from llamactl.trace.mechanisms.memory.counter_steps import Steps
from llamactl.trace.mechanisms.memory.counters import CounterTable
from llamactl.trace.mechanisms.memory.faults import FaultTable, TensorReader
from llamactl.trace.mechanisms.memory.fetched import fetched
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots, BlindTable
from llamactl.trace.mechanisms.view import View

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.mechanisms.phases import Phases

ATTRIBUTED_RECORDS = 1_000_000
"""More system calls and page faults (100 MB of them) aren't looked up call by call."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the capture in the order of time.

    Attributes:
        view: All of it.
        names: What the first descriptor of each system call meant, as numbers of :class:`Names`.
        others: The same of a second descriptor.
        kept: What the selection shows.
        kept_names: ``names`` of that.
        kept_others: ``others`` of that.
    """

    view: View
    names: IntArray
    others: IntArray
    kept: View
    kept_names: IntArray
    kept_others: IntArray


class Scene:
    """What several mechanisms look at.

    Args:
        capture: The capture.
        phases: Its phases.
        tensors: Reads the tensors of a GGUF file, for faults by layer; None leaves that out.
    """

    def __init__(self, capture: Capture, phases: Phases, tensors: TensorReader | None) -> None:
        self.capture = capture
        self.metadata = capture.metadata
        self.begin_ns, self.end_ns = capture.begin_ns, capture.end_ns
        self.length_s = (self.end_ns - self.begin_ns) / 1e9
        self.phases = phases
        self.names = Names(capture.text)
        self.fds = FdTable(self.names)
        self.mappings = MappingTable(self.names)
        self.processes = ProcessTable(capture.text, capture.metadata)
        self.counters = CounterTable([str(name) for name in capture.metadata.get("counters", [])])
        self.at_start = AtStart(self.names, capture.metadata)
        self.faults: FaultTable | None = None
        self._tensors = tensors
        self._blind = BlindTable(self.names, capture.metadata)
        self._faulted = False

    def add(self, piece: Piece) -> None:
        """Take the next piece of the capture."""
        self.processes.add(piece.kept)
        self.mappings.add(piece.view, piece.names)
        self.counters.add(piece.view)
        self.at_start.add(piece.view)
        self._blind.add(piece.view, piece.names)
        self._faulted |= bool((piece.view.kind == Kind.FAULT).any())

    def finish(self, again: Callable[[], Any]) -> None:
        """Go on after the last piece: page faults are looked up in mappings that are known by now.

        Args:
            again: Returns the pieces once more.
        """
        pid = int(self.metadata.get("pid") or 0)
        self.processes.waited_for(pid, self.metadata.get("wait_status"))
        if not self._faulted:
            return
        reader = self._tensors or (lambda _: [])
        self.faults = FaultTable(self.mappings.all(), self.names, reader, self.phases, self.processes.forks())
        for view in again():
            self.faults.add(view)

    @cached_property
    def mapping_rows(self) -> list[MappingRow]:
        """The mappings with what is known of each."""
        return mapping_rows(self.mappings, self.names, self.begin_ns, self.faults is not None)

    @cached_property
    def blind(self) -> BlindSpots:
        """What the recording can't have seen."""
        return self._blind.found(self.mapping_rows)

    @cached_property
    def exchange(self) -> ExchangeFacts | None:
        """Calls into llama.cpp and the GIL; None where none was seen."""
        return exchange_facts(self.capture)

    @property
    def calls(self) -> Exchange | None:
        """The records of these calls."""
        return self.exchange.exchange if self.exchange is not None else None

    @cached_property
    def scheduling(self) -> Scheduling | None:
        """What threads had of the CPUs; None where nobody looked."""
        return Scheduling.of(self.capture.chunks(), self.capture.text)

    @cached_property
    def fetched(self) -> Steps:
        """What was fetched from the disk, by process and time."""
        lives = self.processes.lives()
        return fetched(self.counters, lives, self.metadata, self.begin_ns, self.end_ns)

    @cached_property
    def kernel(self) -> np.ndarray[Any, Any] | None:
        """System calls and page faults by start, where calls were seen; None for none or too many."""
        if self.exchange is None:
            return None
        parts, count = [], 0
        for chunk in self.capture.chunks():
            mine = chunk[(chunk["kind"] == Kind.SYSCALL) | (chunk["kind"] == Kind.FAULT)]
            parts.append(mine)
            count += len(mine)
            if count > ATTRIBUTED_RECORDS:
                return None
        if not count:
            return None
        records = np.concatenate(parts)
        return records[np.argsort(records["start"], kind="stable")]
