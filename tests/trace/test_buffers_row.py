"""The row of buffers, from captures in which somebody watched the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.rows.row import Row
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
DECODE, LOGITS, VOCABULARY = range(3)
KEEPS = {
    "llama_decode": "context:p n_tokens:i tokens:p +",
    "llama_get_logits_ith": "context:p index:i -",
    "llama_vocab_n_tokens": "-",
}
TOKENS, FLOATS, ADDRESS = 6, 49_152, 0x7000
CTYPES = b"/p/_ctypes.cpython-311-x86_64-linux-gnu.so"
NUMPY = b"/p/_multiarray_umath.cpython-311-x86_64-linux-gnu.so"
LIBC = b"/l/libc.so.6"


def metadata(watched: bool) -> dict[str, Any]:
    table = []
    for name, text in KEEPS.items():
        args, kept = parse_keeps(text)
        table.append(
            Function(name, CTYPES.decode(), "/l/libllama.so", "dlsym", args, kept, "p").to_metadata()
        )
    facts: dict[str, Any] = {"functions": list(KEEPS), "function_table": table, "agent": {"python": "3.11.7"}}
    if watched:
        watch = {"address": ADDRESS, "floats": FLOATS, "since_ns": 0, "last_watched": True, "refused": None}
        facts["watch"] = watch
    return facts


def touch(out: Any, moment_us: int, which: int, library: bytes, caller: bytes = b"") -> None:
    out.add(Kind.WATCH, moment_us, nr=which, args=(ADDRESS, 0x100 + which), text=library, text2=caller)


def capture_of(
    build: Build, library: bytes, caller: bytes = b"", watched: bool = True, stale: bool = False
) -> Capture:
    """Six tokens of 10 ms; the row is read 1 ms after it was asked for, within 2 ms."""

    def fill(out: Any) -> None:
        out.add(Kind.CALL, 0, nr=VOCABULARY, ret=FLOATS, duration=100, flags=Flag.GIL_RELEASED)
        for token in range(TOKENS):
            at = 1000 + token * 10_000
            out.add(Kind.CALL, at, nr=DECODE, args=(1, 1, 0), duration=5_000_000, flags=Flag.GIL_RELEASED)
            if not (stale and token):
                out.add(Kind.CALL, at + 6000, nr=LOGITS, ret=ADDRESS, duration=1000, flags=Flag.GIL_RELEASED)
            touch(out, at + 7000, 0, library, caller)
            touch(out, at + 9000, 1, library, caller)

    return build(fill, **metadata(watched))


def row_of(capture: Capture) -> Row:
    return next(row for row in mechanisms(analyse(capture)) if row.name == "Buffers")


@pytest.mark.parametrize(
    ("library", "caller", "verdict", "line"),
    [
        (CTYPES, b"", "COPIED", "_ctypes: each float becomes a Python object, 1 times a token"),
        (LIBC, NUMPY, "COPIED", "_multiarray_umath: copied into an array by memcpy, 1 times a token"),
        (NUMPY, b"", "ok", "_multiarray_umath: read where it lies, 1 times a token"),
    ],
)
def test_what_becomes_of_a_row(build: Build, library: bytes, caller: bytes, verdict: str, line: str) -> None:
    row = row_of(capture_of(build, library, caller))
    assert row.verdict == verdict
    assert line in row.lines
    assert ("copied: 192 KiB, 2 ms a token" in row.lines) == (verdict == "COPIED")


def test_a_list_is_a_finding_a_view_is_none(build: Build) -> None:
    found = {finding.kind: finding for finding in find(analyse(capture_of(build, CTYPES)))}
    copied = found[FindingKind.LOGITS_COPIED]
    assert copied.figures == {"row_bytes": FLOATS * 4, "copy_us_per_token": 2000.0, "tokens": TOKENS}
    assert copied.cost_ns == TOKENS * 2_000_000
    assert FindingKind.LOGITS_COPIED not in {one.kind for one in find(analyse(capture_of(build, NUMPY)))}


def test_reading_a_row_that_is_gone(build: Build) -> None:
    capture = capture_of(build, NUMPY, stale=True)
    assert row_of(capture).verdict == "STALE"
    stale = next(one for one in find(analyse(capture)) if one.kind is FindingKind.LOGITS_STALE)
    assert stale.figures["stale_reads"] == 2 * (TOKENS - 1)


def test_unwatched_is_unknown(build: Build) -> None:
    row = row_of(capture_of(build, CTYPES, watched=False))
    assert row.verdict == "–"
    assert row.lines[-1] == "who reads them wasn't watched (--watch does)"


TEXTS, WIDTH = 8, 576
EMBEDDING_KEEPS = {
    "llama_decode": "context:p n_tokens:i tokens:p +",
    "llama_get_embeddings_seq": "context:p sequence:i -",
}


def embedding(build: Build, batches: int) -> Capture:
    """So many batches of eight texts; each row is turned into a list once, which takes 40 µs."""

    def fill(out: Any) -> None:
        for batch in range(batches):
            at = 1000 + batch * 100_000
            out.add(Kind.CALL, at, nr=0, args=(1, 48, 0), duration=50_000_000, flags=Flag.GIL_RELEASED)
            for row in range(TEXTS):
                moment = at + 60_000 + row * 1000
                address = ADDRESS + row * WIDTH * 4
                out.add(Kind.CALL, moment, nr=1, ret=address, args=(1, row), duration=500)
                for which, later in ((2, 100), (3, 140)):
                    out.add(Kind.WATCH, moment + later, nr=which, args=(address, 0x100 + which), text=CTYPES)

    table = [
        Function(name, CTYPES.decode(), "/l/libllama.so", "dlsym", *parse_keeps(text), "p").to_metadata()
        for name, text in EMBEDDING_KEEPS.items()
    ]
    one = {"buffer": "embeddings", "address": ADDRESS, "floats": WIDTH, "since_ns": 1, "last_watched": True}
    watch = {
        "address": None, "floats": None, "since_ns": None, "refused": None, "others": [one | {"refused": None}],
    }  # fmt: skip
    agent = {"python": "3.11.7"}
    return build(
        fill, functions=list(EMBEDDING_KEEPS), function_table=table, agent=agent, watch=watch, phases=[]
    )


@pytest.mark.parametrize("batches", [1, 3])
def test_rows_that_a_batch_hands_over_are_counted_and_not_decodes(build: Build, batches: int) -> None:
    row = row_of(embedding(build, batches))
    assert row.lines[0] == f"embeddings handed out {TEXTS * batches} times, 2.25 KiB each"
    assert "_ctypes: each float becomes a Python object, 1 times a row" in row.lines
    assert "copied: 2.25 KiB, 40 µs a row" in row.lines


def test_a_program_that_makes_no_token_has_no_first_token(build: Build) -> None:
    report = analyse(embedding(build, 1))
    assert [phase.name for phase in report.phases if phase.intervals] == ["prefill"]
    assert report.first_token is None
