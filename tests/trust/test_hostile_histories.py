"""Histories and documents that somebody else made: one line, status 2, in bounded time and memory."""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import Run

from llamactl.bench import store
from llamactl.bench.report import BenchReport
from llamactl.errors import UsageError
from llamactl.json_file import LARGEST_BYTES
from llamactl.render.bench.history import History

MUTATIONS = 150
MEMORY = 1 << 30


@pytest.fixture
def history(tmp_path: Path, report_of: Callable[..., BenchReport]) -> Path:
    path = tmp_path / "h.sqlite"
    for times in ([5, 6], [7, 8], [9, 9]):
        History(path).save(report_of({"tg4": times, "pp8": times}))
    return path


def test_flipped_bytes_are_a_report_or_one_line(history: Path) -> None:
    data, luck = history.read_bytes(), random.Random(12)
    refused = 0
    for _ in range(MUTATIONS):
        changed = bytearray(data)
        for _ in range(luck.choice((1, 10, 200))):
            changed[luck.randrange(16, len(changed))] = luck.randrange(256)
        history.write_bytes(changed)
        for read in (lambda: store.load(str(history)), lambda: store.last_two(str(history))):
            try:
                read()
            except UsageError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > MUTATIONS / 4


def test_what_is_read_is_what_was_written(tmp_path: Path, report_of: Callable[..., BenchReport]) -> None:
    path, report = tmp_path / "r.json", report_of({"tg4": [5, 6]})
    path.write_text(_document(report))
    assert store.load(str(path)) == report
    # As before devices and workers were told apart.
    document = json.loads(_document(report))
    del document["results"][0]["memory"]["devices"]
    del document["results"][0]["samples"][0]["workers"]
    path.write_text(json.dumps(document))
    memory = store.load(str(path)).results[0].memory
    assert memory is not None and memory.devices == ()


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**70, 1e400, "x", [], {}, [None], {"a": 1}, float("nan")], ids=repr
)
def test_values_of_other_types_are_one_line(
    tmp_path: Path, report_of: Callable[..., BenchReport], value: object
) -> None:
    path = tmp_path / "r.json"
    store_text = json.loads(_document(report_of({"tg4": [5, 6]})))

    def places(inside: object, way: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        keys = (
            inside.keys()
            if isinstance(inside, dict)
            else range(len(inside))
            if isinstance(inside, list)
            else ()
        )
        return [found for key in keys for found in [(*way, key), *places(inside[key], (*way, key))]]  # type: ignore[index]

    for way in places(store_text):
        document = json.loads(_document(report_of({"tg4": [5, 6]})))
        inside = document
        for key in way[:-1]:
            inside = inside[key]
        inside[way[-1]] = value
        path.write_text(json.dumps(document))
        try:
            store.load(str(path))
        except UsageError as error:
            assert "\n" not in str(error)


def _document(report: BenchReport) -> str:
    from llamactl.render.bench.files import json_document

    return json_document(report)


def made(path: Path, *statements: str) -> str:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return str(path)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i"


@pytest.mark.parametrize(
    "statements",
    [
        (f"CREATE VIEW llamactl_bench AS {ENDLESS} AS run, 'x' AS test_time, 'y' AS document FROM n ",),
        (f"CREATE VIEW llamactl_bench AS {ENDLESS} AS run, 'x' AS test_time, '{{}}' AS document FROM n WHERE i < 0",),
        ("CREATE TABLE llamactl_bench (run, test_time, document)",
         "INSERT INTO llamactl_bench VALUES ('x', 1, 2), (NULL, 1, 2), (1e300, 1, x'ff')"),
    ],
)  # fmt: skip
def test_a_query_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: tuple[str, ...]
) -> None:
    monkeypatch.setattr(store, "LONGEST_S", 0.5)
    name = made(tmp_path / "h.sqlite", *statements)
    begun = time.monotonic()
    for read in (lambda: store.load(name), lambda: store.last_two(name), lambda: store.load(f"{name}#1")):
        with pytest.raises(UsageError) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 60


def _little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def test_a_document_of_400_mb_costs_neither_time_nor_memory(llamactl: Run, tmp_path: Path) -> None:
    large, stored = tmp_path / "large.json", tmp_path / "large.sqlite"
    with large.open("wb") as file:
        file.truncate(400_000_000)
    name = made(
        stored,
        "CREATE TABLE llamactl_bench (run INTEGER PRIMARY KEY, test_time TEXT, document TEXT)",
        f"INSERT INTO llamactl_bench VALUES (1, '', zeroblob({2 * LARGEST_BYTES}))",
    )
    for words in (("bench", "compare", str(large), str(large)), ("bench", "compare", name, name),
                  ("inspect", "--diff", str(large), str(large))):  # fmt: skip
        done = llamactl(*words, preexec_fn=_little_memory)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "\udcff", "9" * 5000, "NaN", "1e999", '"\\ud800"']
)
def test_json_that_python_would_take_or_choke_on(llamactl: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        store.load(str(path))
    assert "\n" not in str(caught.value)
