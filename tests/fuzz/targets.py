"""What is fuzzed: each target takes bytes that anyone may have made and may raise only what it documents."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from target_calls import call
from target_ring import ring

from llamactl.errors import LlamactlError

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Classes of characters that change the order of others (Unicode UAX #9)."""
Target = Callable[[bytes], None]


@contextmanager
def file_of(data: bytes) -> Iterator[str]:
    """Give the bytes a path, without a name on any disk."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        os.close(fd)


def gguf(data: bytes) -> None:
    """A model file: header, checks, and all that is told about it."""
    from llamactl.render.inspect.model import SECTIONS, model_text
    from llamactl.render.inspect.model_json import model_document
    from llamactl.snapshot.gguf import check, model

    with file_of(data) as path, suppress(LlamactlError):
        check.check(path)
        found = model.snapshot(path, "*")
        model_text(found, None, SECTIONS)
        model_document(found, None, SECTIONS)


def elf(data: bytes) -> None:
    """A library that somebody's process maps."""
    from llamactl.process.elf import read_elf
    from llamactl.process.symbols import read_symbols

    with file_of(data) as path:
        found = read_elf(Path(path))
        if found is not None:
            found.symbol("llama_decode")
            found.returned_string("ggml_version")
            found.exports_python()
            found.contains(b"llama_")
            found.defines((b"llama_", b"ggml_"))
            str((found.needed, found.soname, found.rpath, found.runpath))
        read_symbols(Path(path), (b"llama_", b"Py"))


def proc(data: bytes) -> None:
    """The texts of /proc that hold names of somebody's choosing."""
    from llamactl.process import proc_text

    proc_text.proc_lines(data)
    proc_text.status_fields(data)
    proc_text.comm_name(data)
    proc_text.maps_lines(data)
    with suppress(ValueError):
        proc_text.stat_fields(data)


def smaps(data: bytes) -> None:
    """The mappings of a process, read in C."""
    from llamactl.process.memory.smaps import parse_smaps

    parse_smaps(data)


def capture(data: bytes) -> None:
    """A capture: the report, and every output that is made from one."""
    from llamactl.render.trace.chrome_trace import chrome_trace
    from llamactl.render.trace.folded import folded_lines
    from llamactl.render.trace.formats import FORMATS
    from llamactl.render.trace.jsonl import jsonl_lines
    from llamactl.render.trace.log import log_lines
    from llamactl.render.trace.tables import tables
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.decode.filters import Selection
    from llamactl.trace.mechanisms.events import derived_phases, read_events
    from llamactl.trace.mechanisms.report import analyse

    with file_of(data) as path, suppress(LlamactlError):
        opened, everything = Capture.open(path), Selection()
        report = analyse(opened, everything)
        for form in FORMATS.values():
            form(report, tables())
        events = list(read_events(opened, everything))
        for lines in (
            log_lines(events, 0),
            jsonl_lines(events),
            folded_lines(events, report),
            chrome_trace(events, report, derived_phases(opened)),
        ):
            for _ in lines:
                pass


def expressions(data: bytes) -> None:
    """What is written after ``-e``."""
    from llamactl.trace.decode.filters import parse_calls

    with suppress(LlamactlError):
        parse_calls([data.decode("utf-8", "replace")])


def conditions(data: bytes) -> None:
    """What is written after ``--fail-if``."""
    from llamactl.bench.gate import parse

    with suppress(LlamactlError):
        parse([data.decode("utf-8", "replace")], ["pp512", "tg128"])


def stored(data: bytes) -> None:
    """A report of bench: JSON, or a history in SQLite."""
    from llamactl.bench.store import last_two, load

    with file_of(data) as path:
        for read in (load, last_two):
            with suppress(LlamactlError):
                read(path)


def history(data: bytes) -> None:
    """A document inside a history that is sound itself."""
    from llamactl.bench.store import load

    with tempfile.TemporaryDirectory(prefix="llamactl-fuzz-") as folder:
        path = f"{folder}/history.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE llamactl_bench (run INTEGER PRIMARY KEY, document TEXT)")
            connection.execute("INSERT INTO llamactl_bench VALUES (1, ?)", (data.decode("utf-8", "replace"),))
        connection.close()
        with suppress(LlamactlError):
            load(path)


def text(data: bytes) -> None:
    """A name on its way to the terminal: one line, no control character, no mark of direction."""
    from llamactl.render.safe import safe_text

    shown = safe_text(data.decode("utf-8", "surrogateescape"))
    assert not any(unicodedata.category(one) in {"Cc", "Cs"} for one in shown)
    assert not any(unicodedata.bidirectional(one) in DIRECTIONS for one in shown)


TARGETS: dict[str, Target] = {
    function.__name__: function
    for function in (
        gguf,
        elf,
        proc,
        smaps,
        capture,
        ring,
        call,
        expressions,
        conditions,
        stored,
        history,
        text,
    )
}
"""A new target is a function and a word here, and its seeds in :mod:`seeds`."""
