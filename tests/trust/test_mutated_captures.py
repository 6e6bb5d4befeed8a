"""Damaged captures are shown or refused in one line with status 2: never an internal error, never without end.

More than the suite's few: LLAMACTL_MUTATIONS=5000 pytest tests/trust/test_mutated_captures.py, or for hours
tests/trust/mutations.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from mutations import MUTATIONS, VALUES, failure_of, mutated, show_everything, thinned
from support import Run

from llamactl.errors import UsageError
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.writer import CaptureWriter

COMMITTED = Path(__file__).resolve().parents[1] / "captures" / "load.capture"
COUNT = int(os.environ.get("LLAMACTL_MUTATIONS", "24"))


@pytest.fixture(scope="module")
def recorded(model_file: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording of a run, with calls, the GIL, samples and everything else there is, made smaller."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("recorded")
    words = [
        "trace",
        "-q",
        "-o",
        str(folder / "whole"),
        "--",
        "run",
        "-m",
        model_file,
        "-n",
        "2",
        "-t",
        "1",
        "Hi",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", *words], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        pytest.skip(done.stderr)
    thinned(folder / "whole", folder / "thin")
    return (folder / "thin").read_bytes()


def test_an_undamaged_one_is_shown(recorded: bytes, tmp_path: Path) -> None:
    """Every fact that a recorder writes is of the type that is declared."""
    path = tmp_path / "c"
    path.write_bytes(recorded)
    show_everything(path)
    assert Capture.open(path).count > 0


@pytest.mark.parametrize("way", range(len(MUTATIONS)), ids=[one.__name__ for one in MUTATIONS])
@pytest.mark.parametrize("kind", ["committed", "recorded"])
def test_damaged_captures(request: pytest.FixtureRequest, tmp_path: Path, way: int, kind: str) -> None:
    data = COMMITTED.read_bytes() if kind == "committed" else request.getfixturevalue("recorded")
    each = -(-COUNT // (2 * len(MUTATIONS)))
    seeds = range(way, len(MUTATIONS) * each, len(MUTATIONS))
    assert [found for seed in seeds if (found := failure_of(data, seed, tmp_path))] == []


def test_the_same_seed_damages_the_same() -> None:
    data = COMMITTED.read_bytes()
    assert all(mutated(data, seed) == mutated(data, seed) for seed in range(8))
    assert len({mutated(data, seed) for seed in range(40)}) > 30


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_fact_of_another_type_is_one_line(tmp_path: Path, value: object) -> None:
    """Opening checks every fact, so that nothing behind it has to."""
    metadata = Capture.open(COMMITTED).metadata | {
        "agent": {},
        "watch": {},
        "recorded": {},
        "function_table": [],
    }
    for key in metadata:
        path = tmp_path / "c"
        writer = CaptureWriter(path)
        writer.metadata(metadata | {key: value})
        writer.close()
        try:
            Capture.open(path)
        except UsageError as error:
            assert "is damaged" in str(error)
            assert "\n" not in str(error)


@pytest.mark.parametrize("field, value, says", [
    ("kind", 0, "a record is of kind 0"), ("start", 2**63, "the start of a record"),
    ("duration", 2**64 - 1, "the duration of a record"), ("tid", -5, "the tid of a record"),
])  # fmt: skip
def test_the_command_says_what_is_wrong_with_a_record(
    llamactl: Run, tmp_path: Path, field: str, value: int, says: str
) -> None:
    import numpy as np

    path = tmp_path / "c"
    capture = Capture.open(COMMITTED)
    records = np.concatenate(list(capture.raw_chunks()))
    records[field][3] = value
    writer = CaptureWriter(path)
    writer.metadata(json.loads(json.dumps(capture.metadata)))
    writer.records(records)
    writer.close()
    done = llamactl("trace", "--from", str(path), "--jsonl", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"is damaged: {says}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_metadata_of_400_mb_costs_neither_time_nor_memory(llamactl: Run, tmp_path: Path) -> None:
    import resource

    from llamactl.trace.capture.layout import CHUNK_HEADER, FILE_HEADER, MAGIC, VERSION, Chunk

    path, size = tmp_path / "c", 400_000_000
    with path.open("wb") as file:
        file.write(FILE_HEADER.pack(MAGIC, VERSION, 0) + CHUNK_HEADER.pack(int(Chunk.METADATA), 0, size))
        file.truncate(file.tell() + size)
    limit = 2 << 30  # The file is mapped.
    done = llamactl(
        "trace",
        "--from",
        str(path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "is damaged: its metadata takes 381 MiB" in done.stderr
