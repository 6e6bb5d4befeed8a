"""A short, repeatable form of ``make fuzz``: the same mutations each time, without coverage."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from time import monotonic

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from seeds import seeds
from targets import TARGETS

MUTATIONS = int(os.environ.get("LLAMACTL_FUZZ_MUTATIONS", "150"))
LONGEST_S = 20.0
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\n",
    b"\r",
    b" ",
    b"(",
    b"\x80",
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x7f" + b"\xff" * 7,
)


def mutated(seed: bytes, dice: random.Random) -> bytes:
    """Return a damaged copy: bits flipped, pieces cut out, doubled, or replaced by numbers that hurt."""
    data = bytearray(seed)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        at = dice.randrange(len(data)) if data else 0
        kind = dice.randrange(5)
        if kind == 0 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del data[at : at + dice.choice((1, 8, 100, 4000))]
        elif kind == 2:
            data[at:at] = data[at : at + dice.choice((1, 8, 96, 1000))]
        else:
            piece = dice.choice(INTERESTING)
            data[at : at + len(piece)] = piece
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_raises_only_what_is_documented(name: str) -> None:
    dice = random.Random(name)
    for seed in seeds()[name]:
        TARGETS[name](seed)
    for _ in range(MUTATIONS):
        data = mutated(dice.choice(seeds_of(name)), dice)
        begun = monotonic()
        try:
            TARGETS[name](data)
        except Exception as error:
            Path(f"/tmp/llamactl-fuzz-{name}").write_bytes(data)
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        assert monotonic() - begun < LONGEST_S


SEEDS: dict[str, list[bytes]] = {}


def seeds_of(name: str) -> list[bytes]:
    """Return the seeds of a target, made once."""
    if not SEEDS:
        SEEDS.update(seeds())
    return SEEDS[name]
