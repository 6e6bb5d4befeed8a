"""Device memory that stays although what it was for is over: a model replaced or freed, a context never freed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from llamactl.trace.capture.engine_calls import COMPUTE, LOADS
from llamactl.trace.mechanisms.gpu.device_buffers import DeviceBuffer
from llamactl.trace.mechanisms.interface.exchange import Exchange, Place, ends, finished, starts

MODEL_FREES = ("llama_model_free", "llama_free_model")


class Why(Enum):
    """Why memory should be gone."""

    REPLACED = "another model was loaded and the earlier one not used any more"
    FREED = "the model was freed"


@dataclass(frozen=True, slots=True)
class LeftMemory:
    """What stayed on one device.

    Attributes:
        pid: The process.
        device: ggml's name of it.
        bytes: Of the buffers that stayed, to the end of the recording.
        kinds: What these are for.
        why: Why they should be gone.
        place: Where the model was loaded or freed: (file, line, function) of Python, the innermost.
        caller: Where that was called from outside of all installed packages.
    """

    pid: int
    device: str
    bytes: int
    kinds: tuple[str, ...]
    why: Why
    place: Place | None
    caller: Place | None


def left_memory(exchange: Exchange, buffers: list[DeviceBuffer]) -> list[LeftMemory]:
    """Return what stayed; nothing where records are missing. Times of ``buffers`` are the records' own."""
    if exchange.lost:
        return []
    found = []
    for name, why in ((LOADS, Why.REPLACED), (MODEL_FREES, Why.FREED)):
        calls = exchange.calls[exchange.named(*name) & finished(exchange.calls)]
        for pid in np.unique(calls["pid"]).tolist():
            mine = calls[calls["pid"] == pid]
            if why is Why.REPLACED:
                mine = mine[mine["ret"] != 0][1:]
            if len(mine):
                found += _after(exchange, buffers, mine[-1], why)
    return list({(row.pid, row.device): row for row in reversed(found)}.values())


def _after(exchange: Exchange, buffers: list[DeviceBuffer], call: np.void, why: Why) -> list[LeftMemory]:
    """Return what was made before a call, is still there, and was of no use since."""
    pid = int(call["pid"])
    begin = int(call["start"])
    stayed: dict[str, list[DeviceBuffer]] = {}
    for one in buffers:
        if (
            one.pid == pid
            and one.on_device
            and not one.failed
            and one.start_ns < begin
            and one.freed_ns is None
        ):
            stayed.setdefault(one.device, []).append(one)
    if not stayed or _used_since(exchange, pid, begin):
        return []
    reference = int(call["text2"])
    return [
        LeftMemory(
            pid,
            device,
            sum(one.bytes or 0 for one in rows),
            tuple(dict.fromkeys(one.kind for one in rows)),
            why,
            exchange.place(reference),
            exchange.caller(reference),
        )  # fmt: skip
        for device, rows in stayed.items()
    ]


def _used_since(exchange: Exchange, pid: int, moment: int) -> bool:
    """Return whether a context made before a moment computes after it; one that isn't told apart counts as used."""
    decodes = exchange.calls[exchange.named(*COMPUTE) & (exchange.calls["pid"] == pid)]
    later, contexts = decodes[starts(decodes) > moment], exchange.argument(decodes, "context")
    if contexts is None:
        return bool(len(later))
    made = exchange.calls[exchange.named("llama_init_from_model", "llama_new_context_with_model")]
    made = made[(made["pid"] == pid) & (ends(made) < moment)]
    before = set(made["ret"].tolist())
    after = set(contexts[starts(decodes) > moment].tolist())
    # Made again at the same address, it is another context.
    again = exchange.calls[exchange.named("llama_init_from_model", "llama_new_context_with_model")]
    again = again[(again["pid"] == pid) & (starts(again) > moment)]
    return bool((before & after) - set(again["ret"].tolist()))
