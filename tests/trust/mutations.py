"""Damage captures in every way a file can be damaged, and show them; run for hours from the command line.

    python tests/trust/mutations.py CAPTURE [COUNT] [SEED]

Each capture that isn't shown, nor refused in one line with status 2, is told with its seed.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.errors import UsageError
from llamactl.trace.capture.layout import CHUNK_HEADER, FILE_HEADER, Chunk, padding
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.writer import CaptureWriter

LIMIT_S = 60
NUMBERS = (0, 1, -1, 2, 255, 65535, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 2**62)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, -(2**70), 1e308, -0.5, "", "x", "\x1b[31m\n", "-1", [], [None], [[1, 2]], {}, {"a": None},
    [2**64], ["x", 3], {"x": {}},
)  # fmt: skip
Parts = list[tuple[int, bytes]]


def parts_of(data: bytes) -> Parts:
    """Return type and payload of each chunk."""
    found: Parts = []
    position = FILE_HEADER.size
    while position + CHUNK_HEADER.size <= len(data):
        kind, _, length = CHUNK_HEADER.unpack_from(data, position)
        position += CHUNK_HEADER.size
        found.append((kind, data[position : position + length]))
        position += length + padding(length)
    return found


def joined(head: bytes, parts: Parts) -> bytes:
    """Return a capture of chunks."""
    out = bytearray(head[: FILE_HEADER.size])
    for kind, payload in parts:
        out += CHUNK_HEADER.pack(kind, 0, len(payload)) + payload + bytes(padding(len(payload)))
    return bytes(out)


def flip_bytes(data: bytes, luck: random.Random) -> bytes:
    """Bytes anywhere behind the header."""
    changed = bytearray(data)
    for _ in range(luck.choice((1, 3, 30))):
        changed[luck.randrange(FILE_HEADER.size, len(changed))] = luck.randrange(256)
    return bytes(changed)


def change_records(data: bytes, luck: random.Random) -> bytes:
    """Fields of records: other kinds, numbers at the ends of their range, references to nowhere."""
    parts = parts_of(data)
    places = [at for at, (kind, payload) in enumerate(parts) if kind == Chunk.RECORDS and payload]
    if not places:
        return data
    for _ in range(luck.choice((1, 1, 5, 50))):
        at = luck.choice(places)
        records = np.frombuffer(parts[at][1], RECORD).copy()
        if not len(records):
            continue
        row = luck.randrange(len(records))
        if luck.random() < 0.3:
            records["kind"][row] = luck.choice([*map(int, Kind), 0, 14, 255])
        name = luck.choice(RECORD.names or ())
        column: NDArray[Any] = records[name]
        bits = column.dtype.itemsize * 8
        value = luck.choice((*NUMBERS, luck.getrandbits(64))) & ((1 << bits) - 1)
        if column.dtype.kind == "i" and value >> (bits - 1):
            value -= 1 << bits
        if column.ndim == 2:
            column[row, luck.randrange(column.shape[1])] = value
        else:
            column[row] = value
        parts[at] = (parts[at][0], records.tobytes())
    return joined(data, parts)


def change_metadata(data: bytes, luck: random.Random) -> bytes:
    """Values of the metadata: other types, keys that are missing, numbers without end."""
    parts = parts_of(data)
    merged: dict[str, Any] = {}
    for kind, payload in parts:
        if kind == Chunk.METADATA:
            merged.update(json.loads(payload))
    for _ in range(luck.choice((1, 1, 2, 6))):
        _change_value(merged, luck)
    rest = [part for part in parts if part[0] != Chunk.METADATA]
    return joined(data, [(int(Chunk.METADATA), json.dumps(merged).encode()), *rest])


def _change_value(inside: Any, luck: random.Random) -> None:
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return
        key = luck.choice(keys)
        if isinstance(inside[key], (dict, list)) and inside[key] and luck.random() < 0.6:
            inside = inside[key]
            continue
        if luck.random() < 0.2:
            del inside[key]
        else:
            inside[key] = luck.choice(VALUES)
        return


def cut_and_mix(data: bytes, luck: random.Random) -> bytes:
    """The end is missing, chunks are gone, doubled, in another order, or of another length."""
    parts = parts_of(data)
    what = luck.randrange(5)
    if what == 0:
        return data[: luck.randrange(FILE_HEADER.size, len(data))]
    if what == 1:
        parts.pop(luck.randrange(len(parts)))
    elif what == 2:
        parts.insert(luck.randrange(len(parts)), luck.choice(parts))
    elif what == 3:
        luck.shuffle(parts)
    else:
        whole = bytearray(joined(data, parts))
        struct.pack_into("<Q", whole, FILE_HEADER.size + 8, luck.choice(NUMBERS) & (2**64 - 1))
        return bytes(whole)
    return joined(data, parts)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bytes, change_records, change_metadata, cut_and_mix,
)  # fmt: skip


def mutated(data: bytes, seed: int) -> bytes:
    """Return a damaged capture; the same seed damages the same."""
    luck = random.Random(seed)
    return MUTATIONS[seed % len(MUTATIONS)](data, luck)


def show_everything(path: Path) -> None:
    """Open a capture and make every view of it."""
    from llamactl.render.trace.chrome_trace import chrome_trace
    from llamactl.render.trace.csv import report_csv
    from llamactl.render.trace.folded import folded_lines
    from llamactl.render.trace.json import report_json
    from llamactl.render.trace.jsonl import jsonl_lines
    from llamactl.render.trace.log import log_lines
    from llamactl.render.trace.markdown import report_markdown
    from llamactl.render.trace.report import report_text
    from llamactl.render.trace.sqlite import write_sqlite
    from llamactl.render.trace.tables import tables
    from llamactl.trace.mechanisms.events import derived_phases, read_events
    from llamactl.trace.mechanisms.interface.model_tensors import tensors_of
    from llamactl.trace.mechanisms.report import analyse

    capture = Capture.open(path)
    report = analyse(capture, None, tensors_of)
    report_text(report, tables(), explain=True).encode()
    json.loads(report_json(report))
    report_markdown(report, tables()).encode()
    for table in tables():
        report_csv(report, [table]).encode()
    "".join(chrome_trace(read_events(capture), report, derived_phases(capture))).encode()
    "".join(folded_lines(read_events(capture), report)).encode()
    "".join(jsonl_lines(read_events(capture))).encode()
    "".join(log_lines(read_events(capture), report.begin_ns)).encode()
    write_sqlite(io.BytesIO(), read_events(capture), report)


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TimeoutError in whatever takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def failure_of(data: bytes, seed: int, folder: Path) -> str | None:
    """Show a damaged capture; return what went wrong: the place and the error."""
    path = folder / "mutated.capture"
    path.write_bytes(mutated(data, seed))
    try:
        with time_limit():
            show_everything(path)
    except UsageError as error:
        return None if "\n" not in str(error) else f"seed {seed}: more than a line"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frame = traceback.extract_tb(error.__traceback__)
        ours = [one for one in frame if "llamactl" in one.filename] or frame
        return (
            f"seed {seed}: {Path(ours[-1].filename).name}:{ours[-1].lineno}: {type(error).__name__}: {error}"
        )
    return None


def thinned(source: Path, target: Path) -> None:
    """Write a smaller capture of the same kinds of records: every one of the rare, some of the many."""
    capture = Capture.open(source)
    writer = CaptureWriter(target)
    writer.metadata(capture.metadata)
    records = np.concatenate(list(capture.chunks()))
    keep = np.zeros(len(records), bool)
    for kind in Kind:
        rows = np.flatnonzero(records["kind"] == kind)
        keep[rows[:: max(len(rows) // 250, 1)]] = True
    records = records[keep].copy()
    for name in ("text", "text2"):
        records[name] = [writer.add_string(capture.text(one)) if one else 0 for one in records[name]]
    writer.records(records)
    writer.close()


def main() -> int:
    """Damage and show a capture as often as asked; 1 when anything went wrong."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    data = Path(sys.argv[1]).read_bytes()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            found = failure_of(data, seed, Path(folder))
            if found:
                failed += 1
                print(found, flush=True)
    print(f"{count} captures, {failed} failures", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
