"""A token that was made slow on purpose is explained by what made it slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agent_support import PROGRAMS, Trace, exchange_of, find_python
from numpy.typing import NDArray

from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import RECORD, Flag, Kind, Sched
from llamactl.trace.mechanisms.cpu.scheduling import Scheduling
from llamactl.trace.mechanisms.gil.gil import gil_report
from llamactl.trace.mechanisms.interface.crossings import tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.slow.slow_causes import Cause
from llamactl.trace.mechanisms.slow.slow_measures import Evidence
from llamactl.trace.mechanisms.slow.slow_tokens import slow_tokens

MS = 1_000_000
DECODE_ARGS, _ = parse_keeps("context:p n_tokens:i tokens:p +")


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("gil", Cause.GIL),
        ("python", Cause.PYTHON),
        ("sampler", Cause.SAMPLER),
        ("other", Cause.OTHER_CALLS),
        ("blocked", Cause.BLOCKED),
        ("computing", Cause.COMPUTING),
    ],
)
def test_slow_on_purpose(built: Path, traced: Trace, why: str, cause: Cause) -> None:
    result = traced(find_python("3.11"), PROGRAMS / "agent_slow_token.py", built / "libllama.so", why)
    assert result.returncode == 0, result.err
    exchange = exchange_of(result)
    rows = tokens(exchange)
    assert len(rows) == 39
    found = {token.index: token for token in slow_tokens(exchange, rows, gil_report(exchange).waits)}
    token = found[20]
    if why == "computing" and token.cause is Cause.NO_CPU:
        # On a busy machine the kernel may take the CPU away for longer than the 60 ms: then that is the truth.
        assert token.explained_ns > 60 * MS
        return
    if why == "blocked" and token.cause is Cause.AWAY:
        assert dict(token.evidence)["involuntary context switches"] > 0
        return
    assert token.cause is cause
    assert token.explained_ns >= (token.length_ns - token.median_ns) / 2
    if why == "gil":
        assert token.wait is not None
        assert token.wait.holder_call == "llama_sleep_us"


def decodes(count: int, slow: dict[str, int]) -> Exchange:
    """Tokens of 10 ms, 8 ms of them in the decode; the fifth one takes what ``slow`` says, 100 ms longer."""
    records = np.zeros(count, RECORD)
    records["kind"] = Kind.CALL
    records["tid"] = records["pid"] = 7
    records["flags"] = Flag.GIL_RELEASED
    records["start"] = np.arange(count) * 10 * MS
    records["start"][6:] += 100 * MS
    records["duration"] = 8 * MS
    records["args"][:, 1] = 1
    records["args"][:, 5] = 8 * MS
    if count < 6:
        return even(records)
    row = records[5]
    row["duration"] = 8 * MS + slow.get("decode_ms", 0) * MS
    row["args"][5] = 8 * MS + slow.get("cpu_ms", 0) * MS
    row["args"][4] = slow.get("involuntary", 0) << 32 | slow.get("voluntary", 0)
    row["args"][3] = slow.get("major", 0) << 32
    return even(records)


def even(records: NDArray[np.void]) -> Exchange:
    function = Function("llama_decode", "/p/_ctypes.so", "/l/libllama.so", "dlsym", DECODE_ARGS, "", "i")
    return Exchange.of([records], [function], lambda _: b"")


@pytest.mark.parametrize(
    ("slow", "cause"),
    [
        ({"decode_ms": 100, "involuntary": 9}, Cause.NO_CPU),
        ({"decode_ms": 100, "voluntary": 2}, Cause.BLOCKED),
        ({"decode_ms": 100, "voluntary": 2, "involuntary": 2}, Cause.AWAY),
        ({"decode_ms": 100, "voluntary": 2, "major": 30}, Cause.MAJOR_FAULTS),
        ({"decode_ms": 100, "cpu_ms": 100}, Cause.COMPUTING),
        ({"decode_ms": 100}, Cause.UNEXPLAINED),
        ({}, Cause.PYTHON),
    ],
)
def test_evidence_decides(slow: dict[str, int], cause: Cause) -> None:
    exchange = decodes(20, slow)
    (token,) = slow_tokens(exchange, tokens(exchange), [])
    assert (token.index, token.cause, token.length_ns) == (5, cause, 110 * MS)


def test_system_calls_are_told_from_python() -> None:
    exchange = decodes(20, {})
    calls = np.zeros(1, RECORD)
    calls["kind"] = Kind.SYSCALL
    calls["tid"] = calls["pid"] = 7
    calls["start"] = 60 * MS
    calls["duration"] = 95 * MS
    (token,) = slow_tokens(exchange, tokens(exchange), [], Evidence(calls))
    assert token.cause is Cause.SYSTEM_CALLS
    assert token.explained_ns == 95 * MS


@pytest.mark.parametrize(("waited_ms", "cause"), [(90, Cause.BLOCKED), (10, Cause.NO_CPU)])
def test_system_calls_tell_blocked_from_preempted(waited_ms: int, cause: Cause) -> None:
    exchange = decodes(20, {"decode_ms": 100, "voluntary": 2, "involuntary": 2})
    calls = np.zeros(1, RECORD)
    calls["kind"] = Kind.SYSCALL
    calls["tid"] = calls["pid"] = 7
    calls["start"] = 51 * MS
    calls["duration"] = waited_ms * MS
    (token,) = slow_tokens(exchange, tokens(exchange), [], Evidence(calls))
    assert token.cause is cause


def test_even_tokens_are_not_slow() -> None:
    exchange = decodes(4, {})
    assert slow_tokens(exchange, tokens(exchange), []) == []
    nothing = Exchange.of([], [], lambda _: b"")
    assert slow_tokens(nothing, tokens(nothing), []) == []


def looks(**gained: int) -> Scheduling:
    """Looks every 5 ms at the thread (7) and a worker (9), and at a control group; all before 200 ms are even.

    The worker runs all the time, but 100 ms in the fifth token for what ``gained`` says; so does thread 7.
    """
    rows = []
    for at in range(0, 300, 5):
        late = min(max(at - 50, 0), 100)
        own = 0 if not late else late * gained.get("delay", 0) // 100
        missing = late if gained.get("worker") or gained.get("stopped") else 0
        waited = late * gained.get("worker", 0) // 100
        throttled = late * gained.get("throttled", 0) // 100
        rows += [
            (Sched.THREAD, 7, at, (at - own) * MS, own * MS, 0, 0),
            (
                Sched.THREAD,
                9,
                at,
                (at - missing) * MS,
                waited * MS,
                0,
                ord("T") if late and gained.get("stopped") else 0,
            ),
            (Sched.GROUP, 7, at, throttled, throttled * MS, 0, 0),
        ]
    records = np.zeros(len(rows), RECORD)
    records["kind"], records["pid"], records["text"] = Kind.SCHED, 7, 1
    for record, (nr, tid, at, *values) in zip(records, rows, strict=True):
        record["nr"], record["tid"], record["start"], record["duration"] = nr, tid, at * MS, 1000
        record["args"][:4] = values
    found = Scheduling.of([records], lambda _: b"/sys/fs/cgroup/box")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("slow", "gained", "cause", "subject", "thread"),
    [
        ({"decode_ms": 100, "involuntary": 9}, {"delay": 100}, Cause.PREEMPTED, None, None),
        (
            {"decode_ms": 100, "involuntary": 9},
            {"delay": 100, "throttled": 90},
            Cause.THROTTLED,
            "/sys/fs/cgroup/box",
            None,
        ),
        ({"decode_ms": 100, "involuntary": 9}, {}, Cause.UNEXPLAINED, None, None),
        ({"decode_ms": 100, "cpu_ms": 100}, {"worker": 100}, Cause.BARRIER, "without a CPU", 9),
        ({"decode_ms": 100, "voluntary": 1}, {"stopped": 1}, Cause.BARRIER, "stopped", 9),
        ({"decode_ms": 100, "cpu_ms": 100}, {}, Cause.COMPUTING, None, None),
        ({"decode_ms": 100, "voluntary": 2}, {}, Cause.BLOCKED, None, None),
        ({}, {"delay": 100}, Cause.PREEMPTED, None, None),
    ],
)
def test_looks_decide(
    slow: dict[str, int], gained: dict[str, int], cause: Cause, subject: str | None, thread: int | None
) -> None:
    exchange = decodes(20, slow)
    (token,) = slow_tokens(exchange, tokens(exchange), [], Evidence(scheduling=looks(**gained)))
    assert (token.index, token.cause, token.subject, token.thread) == (5, cause, subject, thread)


def test_the_gpu_is_waited_for() -> None:
    exchange = decodes(20, {"decode_ms": 100, "voluntary": 1})
    calls = np.zeros(1, RECORD)
    calls["kind"], calls["tid"], calls["pid"] = Kind.SYSCALL, 7, 7
    calls["start"], calls["duration"] = 51 * MS, 95 * MS
    (token,) = slow_tokens(exchange, tokens(exchange), [], Evidence(calls, calls))
    assert (token.cause, token.explained_ns) == (Cause.GPU, 95 * MS)
