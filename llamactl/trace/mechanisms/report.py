"""Everything a capture tells, drawn in two passes (three when there are page faults)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from llamactl.trace.decode.filters import Selection
from llamactl.trace.mechanisms.buffers.mechanism import BufferFacts
from llamactl.trace.mechanisms.cpu.mechanism import CpuFacts
from llamactl.trace.mechanisms.disk.mechanism import DiskFacts
from llamactl.trace.mechanisms.end.mechanism import ProcessFacts
from llamactl.trace.mechanisms.files.mechanism import FileFacts
from llamactl.trace.mechanisms.gil.mechanism import GilFacts
from llamactl.trace.mechanisms.gpu.mechanism import GpuFacts
from llamactl.trace.mechanisms.interface.mechanism import InterfaceFacts
from llamactl.trace.mechanisms.mapping.mechanism import MappingFacts
from llamactl.trace.mechanisms.memory.growth import MemoryFacts
from llamactl.trace.mechanisms.memory.page_faults import FaultFacts
from llamactl.trace.mechanisms.order import Timeline
from llamactl.trace.mechanisms.phases import find_phases
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.requests.mechanism import RequestFacts
from llamactl.trace.mechanisms.run_facts import RunFacts
from llamactl.trace.mechanisms.scene import Piece, Scene
from llamactl.trace.mechanisms.select import PostFilter
from llamactl.trace.mechanisms.slow.mechanism import SlowFacts
from llamactl.trace.mechanisms.syscalls.mechanism import CallFacts
from llamactl.trace.mechanisms.threads.locks import LockFacts
from llamactl.trace.mechanisms.threads.mechanism import ThreadFacts
from llamactl.trace.mechanisms.threads.rpc_workers import WorkerFacts
from llamactl.trace.mechanisms.threads.threads import find_threads
from llamactl.trace.mechanisms.view import View

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.mechanisms.mechanism import Mechanism
    from llamactl.trace.mechanisms.memory.faults import TensorReader

F = TypeVar("F")


@dataclass(frozen=True)
class TraceReport(
    RunFacts, CallFacts, InterfaceFacts, RequestFacts, BufferFacts, MappingFacts, FaultFacts, DiskFacts,
    ThreadFacts, ProcessFacts, CpuFacts, GilFacts, SlowFacts, LockFacts, GpuFacts, WorkerFacts, FileFacts,
    MemoryFacts,
):  # fmt: skip
    """The facts of one capture: those that others ask for by name, and in :meth:`of` those of every mechanism."""

    command: tuple[str, ...]
    begin_ns: int
    length_s: float
    metadata: dict[str, Any] = field(default_factory=dict)
    more: Mapping[type[Any], Any] = field(default_factory=dict)
    """Facts that aren't among those with a name here, by their type."""

    def of(self, kind: type[F]) -> F:
        """Return the facts of a mechanism."""
        return self if isinstance(self, kind) else cast("F", self.more[kind])


class _Drawing:
    """Draws the facts of a mechanism when they are first asked for."""

    def __init__(self, mechanisms: list[Mechanism[Any]]) -> None:
        self._mechanisms = {mechanism.facts: mechanism for mechanism in mechanisms}
        self.found: dict[type[Any], Any] = {}

    def of(self, kind: type[F]) -> F:
        """Return the facts of this type."""
        if kind not in self.found:
            self.found[kind] = self._mechanisms[kind].draw(self)
        return cast("F", self.found[kind])


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
    scene = Scene(capture, phases, tensors)
    mechanisms = [kind(scene) for kind in MECHANISMS]
    called = find_threads(timeline, phases, capture) if chosen.threads else {}
    post = None if chosen.shows_all else PostFilter(chosen, phases, called, scene.names)
    for view in timeline:
        piece = _piece(scene, view, post)
        scene.add(piece)
        for mechanism in mechanisms:
            mechanism.add(piece)
    scene.finish(lambda: timeline)
    return _report(scene, mechanisms)


def _piece(scene: Scene, view: View, post: PostFilter | None) -> Piece:
    """Return a piece with what its descriptors mean, and what the selection keeps of it."""
    names, others = scene.fds.resolve(view), scene.fds.other
    if post is None:
        return Piece(view, names, others, view, names, others)
    keep = post.keep(view, names)
    return Piece(view, names, others, _narrowed(view, keep), names[keep], others[keep])


def _narrowed(view: View, keep: np.ndarray[Any, Any]) -> View:
    """Return the piece without the SYSCALL records that aren't wanted; other records stay."""
    wanted = np.ones(len(view), dtype=bool)
    wanted[view.calls] = keep
    return View(view.records[wanted], view.first)


def _report(scene: Scene, mechanisms: list[Mechanism[Any]]) -> TraceReport:
    drawing = _Drawing(mechanisms)
    named: dict[str, Any] = {}
    more: dict[type[Any], Any] = {}
    for mechanism in mechanisms:
        facts = drawing.of(mechanism.facts)
        if issubclass(TraceReport, mechanism.facts):
            named.update({item.name: getattr(facts, item.name) for item in fields(facts)})
        else:
            more[mechanism.facts] = facts
    return TraceReport(
        command=tuple(str(word) for word in scene.metadata.get("argv") or ()),
        begin_ns=scene.begin_ns,
        length_s=scene.length_s,
        metadata=dict(scene.metadata),
        more=more,
        **named,
    )
