"""Who reads the buffers of programs that llamactl starts."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from boundary_support import EXPECTED_READERS, PROGRAMS

from llamactl.errors import LlamactlError
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.buffers.buffer_readers import How
from llamactl.trace.mechanisms.buffers.buffers import Buffer, Verdict
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts, exchange_facts
from llamactl.trace.record.buffers import watching
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command
from llamactl.trace.record.syscalls.native import ASK

pytest.importorskip("numpy")
TOKENS = 12
ROW_BYTES = 32000 * 4
EVERYTHING = None


@pytest.fixture(params=["ptrace", "perf", "registers"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine; "registers": perf events are refused, so ptrace sets the debug registers."""
    if request.param != "registers":
        return str(request.param)
    if sys.platform != "linux" or not Path("/proc/self/maps").exists():
        pytest.skip("the debug registers are set through ptrace")
    monkeypatch.setattr(watching, "Watching", partial(watching.Watching, perf=False))
    return "ptrace"


def traced(
    place: Path, engine: str, *command: str | Path, **options: object
) -> tuple[Capture, ExchangeFacts]:
    path = place / "trace.cap"
    chosen = SessionOptions(engine=engine, calls=True, sample_s=0, **options)  # type: ignore[arg-type]
    argv = (sys.executable, *(str(word) for word in command))
    try:
        result = record(Command(argv), chosen, CaptureWriter(path))
    except LlamactlError as error:
        if engine == "perf":
            pytest.skip(f"the engine perf isn't allowed: {error}")
        raise
    assert result.exit_code == 5
    capture = Capture.open(path)
    facts = exchange_facts(capture)
    assert facts is not None
    return capture, facts


def assert_read(buffer: Buffer | None, reads: str, tokens: int) -> None:
    assert buffer is not None
    assert not buffer.refused
    verdict, how = EXPECTED_READERS[reads]
    assert buffer.verdict is verdict
    assert (buffer.tokens, buffer.row_bytes) == (tokens, ROW_BYTES)
    reader = next(item for item in buffer.readers if item.how is how)
    if how in (How.LIST, How.ELEMENTS, How.SAMPLER):
        assert reader.touches == tokens
    if how is How.NUMPY_COPY:
        assert reader.touches in {tokens, 2 * tokens}  # memcpy loads the first bytes once or twice.
    assert reader.whole_row is (how is not How.ELEMENTS)


@pytest.mark.parametrize("reads", EXPECTED_READERS)
def test_who_reads_the_logits(built: Path, tmp_path: Path, engine: str, reads: str) -> None:
    program = PROGRAMS / "boundary_reads.py"
    library = built / "reads" / "libllama.so"
    capture, facts = traced(tmp_path, engine, program, library, reads, str(TOKENS), watch=True)
    assert_read(facts.buffer, reads, TOKENS)
    assert facts.buffer is not None
    assert facts.buffer.stale_reads == (TOKENS if reads == "stale" else 0)
    assert capture.metadata["watch"]["moved"] == 0


@pytest.mark.parametrize("reads", ["list", "numpy", "view"])
def test_the_first_row_is_seen_as_well(built: Path, tmp_path: Path, engine: str, reads: str) -> None:
    """The program asks for the row only after a decode, and reads it at once: nothing comes too late."""
    program = PROGRAMS / "boundary_reads.py"
    library = built / "reads" / "libllama.so"
    _, facts = traced(tmp_path, engine, program, library, f"{reads}-at-once", "3", watch=True)
    assert_read(facts.buffer, reads, 3)


def test_the_question_is_no_system_call_of_the_program(built: Path, tmp_path: Path, engine: str) -> None:
    program = PROGRAMS / "boundary_reads.py"
    library = built / "reads" / "libllama.so"
    capture, facts = traced(tmp_path, engine, program, library, "list", "2", watch=True, selection=EVERYTHING)
    assert_read(facts.buffer, "list", 2)
    calls = [chunk[chunk["kind"] == Kind.SYSCALL] for chunk in capture.chunks()]
    assert not any((piece["nr"] == ASK).any() for piece in calls)
    assert not any((piece["nr"] == 0xFFFF).any() for piece in calls)


def test_unasked_only_the_first_touches_are_seen(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamactl.trace.record.session_agent.SAMPLED_TOUCHES", 60)
    program = PROGRAMS / "boundary_reads.py"
    library = built / "reads" / "libllama.so"
    capture, facts = traced(tmp_path, "ptrace", program, library, "list", "400")
    touches = sum(int((chunk["kind"] == Kind.WATCH).sum()) for chunk in capture.chunks())
    buffer = facts.buffer
    assert buffer is not None
    if buffer.refused:
        pytest.skip(f"perf events may not watch: {buffer.refused}")
    assert touches == 60
    assert capture.metadata["watch"]["until_ns"]
    list_reader = next(reader for reader in buffer.readers if reader.how is How.LIST)
    assert list_reader.touches == buffer.tokens  # What was seen in part isn't counted.
    assert 60 // 16 <= buffer.tokens < 60 // 4
    assert buffer.verdict is Verdict.LIST_COPY
    _, facts = traced(tmp_path, "ptrace", program, library, "list", "5", watch=False)
    assert facts.buffer is None


def test_what_refuses_is_said(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without perf events nothing is watched unasked, and the report says how to."""
    monkeypatch.setattr(watching, "Watching", partial(watching.Watching, perf=False))
    program = PROGRAMS / "boundary_reads.py"
    _, facts = traced(tmp_path, "ptrace", program, built / "reads" / "libllama.so", "list", "2")
    assert facts.buffer is not None
    assert facts.buffer.address is None
    assert "--watch" in facts.buffer.refused


def test_a_program_with_a_filter_of_its_own_is_left_alone(built: Path, tmp_path: Path, engine: str) -> None:
    """Its filter kills for calls that don't exist, so it isn't asked where its buffers are."""
    program = PROGRAMS / "boundary_filtered.py"
    library = built / "reads" / "libllama.so"
    capture, facts = traced(tmp_path, engine, program, library, "list", "3", watch=True)
    assert capture.metadata["watch"]["filtered"]
    assert facts.buffer is not None
    assert "seccomp filter" in facts.buffer.refused


def test_an_inherited_filter_is_tried_first() -> None:
    code = "from llamactl.trace.record.syscalls.native import lib; print(lib.watch_ask_allowed())"
    sandbox = (sys.executable, str(PROGRAMS / "boundary_filtered.py"), "--exec")
    for before, allowed in (((), "1"), (sandbox, "0")):
        done = subprocess.run(
            [*before, sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == allowed
