"""The engine's buffers: on which device each lies, what it is for, how large it is, and whether it was freed.

libllama asks libggml-base for memory; the agent notes what ggml's own getters say of the result (``agent/buffers.c``).
What a buffer is for follows from its tensors, and else from the call of the program that it was made in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from llamactl.trace.mechanisms.gpu.awaited import calls_around
from llamactl.trace.mechanisms.interface.exchange import Exchange

ALLOCATES = ("ggml_backend_alloc_ctx_tensors_from_buft", "ggml_backend_buft_alloc_buffer")
MAPS = "ggml_backend_dev_buffer_from_host_ptr"
COMPUTES = ("ggml_backend_sched_reserve", "ggml_backend_sched_alloc_graph")
FREES = "ggml_backend_buffer_free"
FREES_COMPUTE = "ggml_backend_sched_free"
TELLING = (*ALLOCATES, MAPS, *COMPUTES, FREES, FREES_COMPUTE)
DEVICE_TYPES = ("cpu", "gpu", "igpu", "accel")
"""``enum ggml_backend_dev_type``."""
WEIGHTS, KV, COMPUTE, ADAPTER, OUTPUT, OTHER = "weights", "KV cache", "compute", "adapter", "output", "other"
KINDS = (WEIGHTS, KV, COMPUTE, ADAPTER, OUTPUT, OTHER)
_BY_CALL = (
    ("llama_adapter_lora_init", ADAPTER),
    ("llama_model_load", WEIGHTS),
    ("llama_load_model", WEIGHTS),
    ("llama_init_from_model", OUTPUT),
    ("llama_new_context_with_model", OUTPUT),
    ("mtmd_", WEIGHTS),
    ("clip_", WEIGHTS),
    ("llama_decode", OUTPUT),
    ("llama_encode", OUTPUT),
)


@dataclass(frozen=True, slots=True)
class DeviceBuffer:
    """One buffer of the engine.

    Attributes:
        pid: The process.
        kind: One of :data:`KINDS`.
        type: ggml's name of the buffer's type, such as ``Vulkan0`` or ``CUDA_Host``.
        device: ggml's name of the device, such as ``Vulkan0``; empty where it has none.
        device_type: One of :data:`DEVICE_TYPES`, empty for unknown.
        bytes: Its size; None where the call failed or didn't tell.
        host: Whether the CPU can address it: memory of the machine, pinned for the device or not.
        mapped: Whether it is the model's file itself, as the process has mapped it.
        layers: First and last of each run of layers that its tensors belong to.
        output: Whether the output layer's tensors are in it.
        start_ns: When it was made.
        freed_ns: When it was freed; None if that wasn't seen.
        failed: Whether the device refused it.
    """

    pid: int
    kind: str
    type: str
    device: str
    device_type: str
    bytes: int | None
    host: bool
    mapped: bool
    layers: tuple[tuple[int, int], ...]
    output: bool
    start_ns: int
    freed_ns: int | None
    failed: bool = False

    @property
    def on_device(self) -> bool:
        """Whether it lies in a device's own memory."""
        return not self.host and self.device_type not in {"cpu", ""}


@dataclass(slots=True)
class _Line:
    type: str
    device: str
    device_type: str
    bytes: int
    host: bool
    what: str
    layers: tuple[tuple[int, int], ...]
    output: bool


def device_buffers(exchange: Exchange) -> list[DeviceBuffer]:
    """Return the engine's buffers in the order in which they were made; those of no bytes are left out."""
    records = exchange.among_named(*TELLING)
    if not len(records):
        return []
    names = [exchange.functions[number].name for number in records["nr"].tolist()]
    around = calls_around(exchange, records)
    book = _Book()
    for record, name, call in zip(records, names, around.tolist(), strict=True):
        maker = exchange.functions[int(exchange.calls["nr"][call])].name if call >= 0 else ""
        book.take(record, name, maker, _lines(exchange.text(int(record["text"]))))
    return [row for row in book.rows if row.bytes != 0]


class _Book:
    """Follows what is made and freed."""

    def __init__(self) -> None:
        self.rows: list[DeviceBuffer] = []
        self._live: dict[tuple[int, int], list[int]] = {}
        """By process and address (of a buffer or a scheduler): rows that aren't freed."""

    def take(self, record: np.void, name: str, maker: str, lines: list[_Line]) -> None:
        pid, start = int(record["pid"]), int(record["start"])
        end = start + int(record["duration"])
        if name in {FREES, FREES_COMPUTE}:
            self._free((pid, int(record["args"][0])), start)
        elif name in COMPUTES:
            key = (pid, int(record["args"][0]))
            self._free(key, end)
            self._add(key, [_buffer(pid, end, line, COMPUTE, name) for line in lines])
        else:
            key = (pid, int(record["ret"]))
            failed = record["ret"] == 0 and bool(record["duration"])
            rows = [_buffer(pid, end, line, _kind(line, maker), name) for line in lines]
            if failed and not lines:
                size = int(record["args"][1]) if name == "ggml_backend_buft_alloc_buffer" else None
                rows = [_failed(pid, end, size, maker)]
            self._add(key, rows)

    def _free(self, key: tuple[int, int], moment: int) -> None:
        for index in self._live.pop(key, []):
            self.rows[index] = _freed(self.rows[index], moment)

    def _add(self, key: tuple[int, int], rows: list[DeviceBuffer]) -> None:
        first = len(self.rows)
        self.rows += rows
        if key[1]:
            self._live[key] = list(range(first, len(self.rows)))


def _freed(row: DeviceBuffer, moment: int) -> DeviceBuffer:
    return replace(row, freed_ns=moment)


def _failed(pid: int, moment: int, size: int | None, maker: str) -> DeviceBuffer:
    kind = next((kind for prefix, kind in _BY_CALL if maker.startswith(prefix)), OTHER)
    return DeviceBuffer(pid, kind, "", "", "", size, False, False, (), False, moment, moment, True)


def _buffer(pid: int, moment: int, line: _Line, kind: str, name: str) -> DeviceBuffer:
    return DeviceBuffer(
        pid, kind, line.type, line.device, line.device_type, line.bytes, line.host, name == MAPS, line.layers,
        line.output, moment, None,
    )  # fmt: skip


def _kind(line: _Line, maker: str) -> str:
    if line.what == "cache":
        return KV
    by_call = next((kind for prefix, kind in _BY_CALL if maker.startswith(prefix)), OTHER)
    return WEIGHTS if line.what == "weights" and by_call not in {ADAPTER} else by_call


def _lines(text: bytes) -> list[_Line]:
    """Read what the agent wrote; a line that isn't whole is left out."""
    found = []
    for line in text.decode("utf-8", "backslashreplace").splitlines():
        fields = line.split("\t")
        if len(fields) != 8 or not fields[3].isdigit():
            continue
        number = fields[2]
        known = number.isdigit() and int(number) < len(DEVICE_TYPES)
        found.append(
            _Line(
                fields[0],
                fields[1],
                DEVICE_TYPES[int(number)] if known else "",
                int(fields[3]),
                fields[4] == "1",
                fields[5],
                _runs(fields[6]),
                fields[7] == "1",
            )  # fmt: skip
        )
    return found


def _runs(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [part.split("-") for part in text.split(",") if part]
    return tuple(
        (int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2 and all(map(str.isdigit, pair))
    )


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What the engine holds on one device, at its largest and at the end.

    Attributes:
        pid: The process.
        device: ggml's name of it.
        device_type: One of :data:`DEVICE_TYPES`.
        host: Whether this is memory of the machine that the device's backend pinned, not the device's own.
        kinds: Bytes by kind, when all of them together were largest.
        peak_bytes: Their sum.
        end_bytes: What was there at the end of the recording, not freed.
    """

    pid: int
    device: str
    device_type: str
    host: bool
    kinds: dict[str, int]
    peak_bytes: int
    end_bytes: int


def memory_by_device(buffers: Iterable[DeviceBuffer]) -> list[DeviceMemory]:
    """Add up by process, device, and whether it is the machine's memory; the CPU's own is left out."""
    groups: dict[tuple[int, str, str, bool], list[DeviceBuffer]] = {}
    for buffer in buffers:
        if buffer.device_type in {"gpu", "igpu", "accel"} and buffer.bytes and not buffer.failed:
            key = (buffer.pid, buffer.device, buffer.device_type, buffer.host)
            groups.setdefault(key, []).append(buffer)
    return [_memory(key, rows) for key, rows in groups.items()]


def _memory(key: tuple[int, str, str, bool], rows: list[DeviceBuffer]) -> DeviceMemory:
    pid, device, device_type, host = key
    moments = sorted({row.start_ns for row in rows})
    held = [[row for row in rows if row.start_ns <= at and (row.freed_ns or at + 1) > at] for at in moments]
    most = max(held, key=lambda live: sum(row.bytes or 0 for row in live))
    kinds = {kind: sum(row.bytes or 0 for row in most if row.kind == kind) for kind in KINDS}
    left = sum(row.bytes or 0 for row in rows if row.freed_ns is None)
    shown = {kind: size for kind, size in kinds.items() if size}
    return DeviceMemory(pid, device, device_type, host, shown, sum(kinds.values()), left)
