"""Which objects of llama.cpp were made and not freed over a span of time: contexts, samplers, batches, models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.arrays import Mask
from llamactl.trace.capture.engine_calls import LOADS
from llamactl.trace.mechanisms.interface.exchange import Exchange, Place, finished, starts


@dataclass(frozen=True, slots=True)
class Family:
    """Functions that make a kind of object, and those that free it."""

    name: str
    makers: tuple[str, ...]
    freers: tuple[str, ...]


CHAIN = "llama_sampler_chain_init"
FREE_SAMPLER = "llama_sampler_free"
FAMILIES = (
    Family("contexts", ("llama_init_from_model", "llama_new_context_with_model"), ("llama_free",)),
    Family("samplers", (CHAIN,), (FREE_SAMPLER,)),
    Family("batches", ("llama_batch_init",), ("llama_batch_free",)),
    Family("models", LOADS, ("llama_model_free", "llama_free_model")),
    Family("adapters", ("llama_adapter_lora_init",), ("llama_adapter_lora_free",)),
)
"""A chain frees the samplers in it, so the chain is what counts (llama.h)."""


@dataclass(frozen=True, slots=True)
class KeptObjects:
    """Objects of one kind that one process made and didn't free within a span.

    Attributes:
        name: contexts, samplers, batches, models or adapters.
        made: How many were made.
        freed: How many were freed, those made before included.
        place: Where most of them were made: (file, line, function) of Python, the innermost.
        caller: Where that was called from outside of all installed packages.
    """

    name: str
    made: int
    freed: int
    place: Place | None
    caller: Place | None

    @property
    def kept(self) -> int:
        """How many more there are at the end of the span."""
        return self.made - self.freed


def kept_objects(exchange: Exchange, pid: int, begin_ns: int, end_ns: int) -> list[KeptObjects] | None:
    """Return what there was more of at the end, the most first; None where calls are missing.

    Args:
        exchange: The calls.
        pid: The process.
        begin_ns: Where the span begins.
        end_ns: Where it ends.
    """
    names = {name for family in FAMILIES for name in (*family.makers, *family.freers)}
    if exchange.lost or any(exchange.functions[nr].name in names for nr in exchange.counted):
        return None
    calls = exchange.calls
    moments = starts(calls)
    inside = (calls["pid"] == pid) & (moments >= begin_ns) & (moments < end_ns) & finished(calls)
    rows = [_kept(exchange, family, inside) for family in FAMILIES]
    return sorted((row for row in rows if row.kept > 0), key=lambda row: -row.kept)


def _kept(exchange: Exchange, family: Family, inside: Mask) -> KeptObjects:
    made = exchange.calls[exchange.named(*family.makers) & inside & (exchange.calls["ret"] != 0)]
    if family.name == "batches":  # A structure, which isn't kept.
        made = exchange.calls[exchange.named(*family.makers) & inside]
    freed = exchange.calls[exchange.named(*family.freers) & inside]
    if family.name == "samplers":
        chains = exchange.calls["ret"][exchange.named(CHAIN)].astype(np.int64)
        address = exchange.argument(freed, "sampler")
        freed = freed if address is None else freed[np.isin(address, chains)]
    references, counts = np.unique(made["text2"], return_counts=True)
    busiest = int(references[np.argmax(counts)]) if len(references) else 0
    return KeptObjects(
        name=family.name,
        made=len(made),
        freed=len(freed),
        place=exchange.place(busiest),
        caller=exchange.caller(busiest),
    )
