"""What a program asked of a device: CUDA's, HIP's and Vulkan's functions, as the agent recorded them.

A call while a stream is being captured asks for nothing yet: it becomes part of a graph, and happens as often as the
graph is launched (CUDA Runtime API, "Graph Management").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Flag, Kind

IN, OUT, ON, BETWEEN, HOST, UNSURE = "in", "out", "on", "between", "host", "unknown"
DIRECTIONS = (IN, OUT, ON, BETWEEN, HOST, UNSURE)
"""To the device, from it, on it, between two of them, from host memory to host memory, and not known which."""
KINDS = {0: HOST, 1: IN, 2: OUT, 3: ON}
"""``cudaMemcpyKind`` and ``hipMemcpyKind``; 4 leaves it to the addresses."""
NOT_READY = 600
"""``cudaErrorNotReady``: the answer of a question, no error."""
FAMILIES = (
    ("cuda", "CUDA"), ("__cuda", "CUDA"), ("cu", "CUDA"), ("hip", "HIP"), ("rocblas", "HIP"), ("vk", "Vulkan"),
)  # fmt: skip
SIZES = ("bytes", "width", "height", "depth")


@dataclass(frozen=True)
class DeviceCalls:
    """The DEVICE records of a capture, by start.

    Attributes:
        records: The records.
        functions: What their ``nr`` means.
        without_record: Calls that were only counted since the ring was filling, by function's number.
        lost: Records of any kind that are missing.
    """

    records: NDArray[np.void]
    functions: list[Function]
    without_record: dict[int, int]
    lost: int

    @classmethod
    def of_capture(cls, capture: Capture) -> DeviceCalls | None:
        """Return the calls of a capture; None where the program asked nothing of a device."""
        table = capture.metadata.get("function_table")
        functions = [Function.from_metadata(row) for row in table] if isinstance(table, list) else []
        if not any(function.device for function in functions):
            return None
        parts = [chunk[chunk["kind"] == Kind.DEVICE] for chunk in capture.chunks()]
        records = np.concatenate(parts) if parts else np.empty(0, RECORD)
        agent = capture.metadata.get("agent") or {}
        counted = {
            int(number): int(row.get("calls") or 0)
            for number, row in (agent.get("counted") or {}).items()
            if str(number).isdigit() and int(number) < len(functions) and functions[int(number)].device
        }
        lost = sum(int(value or 0) for value in (agent.get("lost") or {}).values())
        found = cls(records[np.argsort(records["start"], kind="stable")], functions, counted, lost)
        return found if len(found.records) or counted else None

    @property
    def complete(self) -> bool:
        """Whether every call has its record; else figures are "at least"."""
        return not self.lost and not self.without_record

    @cached_property
    def role(self) -> NDArray[np.str_]:
        """What each call does: "alloc-device", "copy-in", "launch" and so on, see the agent's table."""
        names = np.array([function.device for function in self.functions], dtype=np.str_)
        found: NDArray[np.str_] = names[self.records["nr"]]
        return found

    def of_role(self, *roles: str) -> Mask:
        """Return which calls have one of these roles; "alloc" means all that begin with it."""
        found: Mask = np.zeros(len(self.records), dtype=bool)
        for role in roles:
            found |= (self.role == role) | np.char.startswith(self.role, f"{role}-")
        return found

    @cached_property
    def ended(self) -> Mask:
        """Which calls returned."""
        found: Mask = (self.records["flags"] & int(Flag.NO_EXIT)) == 0
        return found

    @cached_property
    def failed(self) -> Mask:
        """Which calls returned an error; Vulkan's positive results are answers (``VkResult``)."""
        vulkan = np.array([function.name.startswith("vk") for function in self.functions], dtype=bool)
        ret = self.records["ret"]
        wrong = np.where(vulkan[self.records["nr"]], ret < 0, (ret != 0) & (ret != NOT_READY))
        found: Mask = wrong & self.ended & (self.role != "module")
        return found

    @cached_property
    def done(self) -> Mask:
        """Which calls returned and did what they were asked for."""
        found: Mask = self.ended & ~self.failed
        return found

    @cached_property
    def ns(self) -> IntArray:
        """How long each call took; 0 for one that never returned."""
        found: IntArray = np.where(self.ended, self.records["duration"], 0).astype(np.int64)
        return found

    @cached_property
    def start(self) -> IntArray:
        """When each call began, ns."""
        found: IntArray = self.records["start"].astype(np.int64)
        return found

    def argument(self, label: str, missing: int = 0) -> IntArray:
        """Return an argument of every call, ``missing`` where its function doesn't keep it."""
        found = np.full(len(self.records), missing, np.int64)
        for nr in np.unique(self.records["nr"]).tolist():
            position = self.functions[nr].position(label)
            if position is not None:
                rows = self.records["nr"] == nr
                found[rows] = self.records["args"][rows, position].astype(np.int64)
        return found

    @cached_property
    def bytes(self) -> IntArray:
        """How many bytes each call is about: a size, or width times height times depth."""
        size, width, height = (self.argument(label) for label in SIZES[:3])
        area = width * height * self.argument("depth", 1)
        found: IntArray = np.where(size > 0, size, area)
        return found

    @cached_property
    def captured(self) -> Mask:
        """Which calls became part of a graph in place of being done: between capture's begin and end, by thread."""
        found: Mask = np.zeros(len(self.records), dtype=bool)
        begins = np.flatnonzero(self.of_role("capture") & (self.role == "capture") & self.done)
        ends = np.flatnonzero((self.role == "captured") & self.ended)
        work = self.of_role("launch", "copy", "set") & (self.role != "launch-graph")
        tid = self.records["tid"]
        for begin in begins.tolist():
            later = ends[(ends > begin) & (tid[ends] == tid[begin])]
            end = int(later[0]) if len(later) else len(self.records)
            inside = np.arange(begin, end)
            found[inside[(tid[begin:end] == tid[begin]) & work[begin:end]]] = True
        return found


def family_of(name: str) -> str:
    """Return which interface a function belongs to: CUDA, HIP or Vulkan."""
    return next((family for prefix, family in FAMILIES if name.startswith(prefix)), "unknown")
