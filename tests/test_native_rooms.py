"""The rooms of our C: what each includes of others, and how long its files and functions are."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

from support import REPOSITORY

NATIVE = REPOSITORY / "llamactl" / "native"
INCLUDE = re.compile(r'^#include "([\w/.-]+)"', re.MULTILINE)
SOURCES = sorted(path for path in NATIVE.rglob("*") if path.suffix in {".c", ".h", ".cpp"})
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
MOST_FILES = 25
FUNCTION = re.compile(
    r"^(?!struct|enum|union|static const|typedef)\w[^;{}=]*\([^;{}]*\) \{\n(.*?)^\}$",
    re.MULTILINE | re.DOTALL,
)


def included() -> dict[str, set[str]]:
    """Return the rooms that each room includes headers of."""
    rooms: dict[str, set[str]] = {}
    for path in SOURCES:
        room = path.parent.name
        ours = {
            name.split("/")[0]
            for name in INCLUDE.findall(path.read_text(encoding="utf-8"))
            if (NATIVE / name).exists()
        }
        rooms.setdefault(room, set()).update(ours - {room})
    return rooms


def test_every_header_is_named_with_its_room() -> None:
    """So that what a file needs can be read off its first lines, and no header hides another one's."""
    for path in SOURCES:
        bare = [
            name
            for name in INCLUDE.findall(path.read_text(encoding="utf-8"))
            if (path.parent / name).exists()
        ]
        assert bare == [], path


def test_no_circles_between_rooms() -> None:
    rooms = included()
    assert rooms["common"] == set()
    assert {"perf", "breakpoint"} <= rooms["ptrace"] | rooms["breakpoint"]
    assert len(list(TopologicalSorter(rooms).static_order())) == len(rooms)


def test_what_python_sees_of_a_room_needs_nothing_of_its_inside() -> None:
    for path in NATIVE.glob("*/api.h"):
        assert [
            name for name in INCLUDE.findall(path.read_text(encoding="utf-8")) if not name.endswith("/api.h")
        ] == []


def test_files_and_functions_are_short() -> None:
    long = {
        str(path.relative_to(NATIVE)): lines
        for path in SOURCES
        if (lines := path.read_text().count("\n")) > LONGEST_FILE
    }
    assert long == {}
    for path in SOURCES:
        for body in FUNCTION.findall(path.read_text(encoding="utf-8")):
            assert body.count("\n") <= LONGEST_FUNCTION, (path, body[:200])


def test_rooms_are_small() -> None:
    crowded = {
        room: count for room in included() if (count := len(list((NATIVE / room).iterdir()))) > MOST_FILES
    }
    assert crowded == {}
