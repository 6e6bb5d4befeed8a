"""The filters that select in the kernel: a BPF program and a tracepoint expression, against plain sets."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from recording import NUMBERS, Program, may_use_perf, recorded

from llamactl.trace.record.syscalls import seccomp
from llamactl.trace.record.syscalls.seccomp import ACTION_ALLOW, ACTION_TRACE, TRACE_MARK, build_filter
from llamactl.trace.record.syscalls.tracepoints import number_filter

TRACED = ACTION_TRACE | TRACE_MARK

pytest_plugins = ["recording"]

ARCH = 0xC000003E


def run_filter(code: list[seccomp.Instruction], nr: int, arch: int) -> int:
    """Interpret classic BPF as the kernel does."""
    place, value = 0, 0
    while True:
        op, true, false, k = code[place]
        assert 0 <= true < 256
        assert 0 <= false < 256
        place += 1
        if op == seccomp.LOAD:
            value = {0: nr, 4: arch}[k]
        elif op == seccomp.JUMP:
            place += k
        elif op == seccomp.JUMP_EQUAL:
            place += true if value == k else false
        elif op == seccomp.JUMP_AT_LEAST:
            place += true if value >= k else false
        elif op == seccomp.RETURN:
            return k


@pytest.mark.skipif(not may_use_perf(), reason="perf tracepoints need CAP_PERFMON")
def test_a_selection_too_long_for_the_kernel(tmp_path: Path, program: Program) -> None:
    selection = frozenset(range(0, 460, 2))
    seen = recorded(tmp_path / "c", [program("call_files"), str(tmp_path)], "perf", selection)
    all_calls = recorded(tmp_path / "d", [program("call_files"), str(tmp_path)], "perf")
    wanted = {name: count for name, count in all_calls.counts().items() if NUMBERS[name] in selection}
    assert seen.counts() == wanted


SETS = [
    frozenset(),
    frozenset({0}),
    frozenset({0, 1, 2, 59, 257, 462}),
    frozenset(range(463)),
    frozenset(range(0, 460, 2)),  # The longest: every second call.
    frozenset(random.Random(1).sample(range(460), 200)),
]


@pytest.mark.parametrize("selection", SETS, ids=len)
def test_seccomp_filter(selection: frozenset[int]) -> None:
    code = build_filter(selection, ARCH)
    assert len(code) < 4096
    for nr in range(600):
        assert run_filter(code, nr, ARCH) == (TRACED if nr in selection else ACTION_ALLOW), nr
    assert run_filter(code, 3, 0x40000003) == TRACED  # i386: other numbers, so all are shown.
    assert run_filter(code, 0x40000000 + 2, ARCH) == TRACED  # x32.
    assert len(seccomp.encode(code)) == 8 * len(code)


def evaluate(expression: str, number: int) -> bool:
    """Evaluate a tracepoint filter with Python's own operators."""
    if not expression:
        return True
    assert re.fullmatch(r"[id0-9<>=&|() -]+", expression)
    return bool(eval(expression.replace("&&", " and ").replace("||", " or "), {"id": number}))


@pytest.mark.parametrize("numbers", [None, *SETS], ids=lambda s: "all" if s is None else str(len(s)))
@pytest.mark.parametrize("excluded", [frozenset(), frozenset({0, 2, 59, 257})], ids=len)
def test_tracepoint_filter(numbers: frozenset[int] | None, excluded: frozenset[int]) -> None:
    expression = number_filter(numbers, excluded)
    assert len(expression) < 4096
    if expression == number_filter(None, excluded):
        numbers = None  # Too long to say: the recorder selects.
    for number in range(-1, 600):
        wanted = number not in excluded and (numbers is None or number in numbers)
        assert evaluate(expression, number) == (wanted and number >= 0) or (number < 0 and not expression)
