"""A model that is opened by two names is one model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from llamactl.trace.mechanisms.disk.load import load_facts
from llamactl.trace.mechanisms.files.files import FileRow

SEEN: Any = SimpleNamespace(maps=True, reads=True)


def row(name: bytes, **figures: int) -> FileRow:
    zeros = dict.fromkeys(FileRow.__dataclass_fields__, 0)
    values: dict[str, Any] = {**zeros, "name": name, "count": 1, "opens": 1, **figures}
    return FileRow(**values)


def names(*rows: FileRow) -> list[str]:
    return [one.name for one in load_facts(list(rows), [], SEEN)]


def test_a_name_within_a_directory_that_was_only_opened_is_the_whole_name_s() -> None:
    assert names(row(b"/data/m.gguf", read_bytes=9), row(b"data/m.gguf")) == ["/data/m.gguf"]


def test_it_stays_where_it_was_read_or_is_another_one() -> None:
    assert len(names(row(b"/data/m.gguf"), row(b"data/m.gguf", read_bytes=9))) == 2
    assert len(names(row(b"/data/m.gguf"), row(b"m2.gguf"))) == 2
    assert names(row(b"m.gguf")) == ["m.gguf"]
