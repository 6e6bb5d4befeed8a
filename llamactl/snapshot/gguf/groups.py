"""Tensors put together by their part in the model, as their names tell (``llama-arch.cpp``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from llamactl.snapshot.gguf.header import Tensor

_WHOLE_MODEL: Final = (
    ("embedding", ("token_embd", "position_embd", "token_types", "per_layer_token_embd")),
    ("output", ("output.", "cls.", "dense_")),
)
"""How the names begin of tensors that belong to no layer."""
_IN_LAYERS: Final = (
    ("normalisation", ("norm",)),
    ("experts", ("_exps", "_shexp", "_chexps", "ffn_gate_inp")),
    ("attention", ("attn_",)),
    ("feed-forward", ("ffn_",)),
    ("state space", ("ssm_", "time_mix_", "channel_mix_", "shortconv")),
)
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors of one part and one type.

    Attributes:
        part: ``embedding``, ``attention``, ``feed-forward``, ``experts``, ``normalisation``, ``output``,
            ``state space`` or ``other``.
        type_name: Such as ``Q4_K``.
        n_tensors: How many.
        parameters: Weights in all of them.
        nbytes: Bytes in the file; None for an unknown type.
    """

    part: str
    type_name: str
    n_tensors: int
    parameters: int
    nbytes: int | None


def part_of(name: str) -> str:
    """Return the part of the model that a tensor belongs to."""
    for part, beginnings in _WHOLE_MODEL:
        if name.startswith(beginnings):
            return part
    return next((part for part, marks in _IN_LAYERS if any(mark in name for mark in marks)), OTHER)


def group(tensors: Iterable[Tensor]) -> tuple[TensorGroup, ...]:
    """Add tensors up by part and type, the largest first."""
    members: dict[tuple[str, str], list[Tensor]] = {}
    for tensor in tensors:
        members.setdefault((part_of(tensor.name), tensor.type_name), []).append(tensor)
    groups = (_sum(part, kind, each) for (part, kind), each in members.items())
    return tuple(sorted(groups, key=lambda each: (-(each.nbytes or 0), each.part, each.type_name)))


def _sum(part: str, kind: str, tensors: list[Tensor]) -> TensorGroup:
    sizes = [tensor.nbytes for tensor in tensors]
    nbytes = None if None in sizes else sum(size or 0 for size in sizes)
    return TensorGroup(part, kind, len(tensors), sum(tensor.n_elements for tensor in tensors), nbytes)
