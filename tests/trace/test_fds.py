"""What descriptors stand for at the time of a call."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.events import Event, read_events
from llamactl.trace.mechanisms.files.fds import FdTable
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.order import Timeline
from llamactl.trace.mechanisms.view import View

Build = Callable[..., Capture]


def targets(capture: Capture, name: str = "read") -> list[bytes | None]:
    """Return what the descriptors of one call stood for, in the order of time."""
    return [event.path for event in calls(capture) if event.name == name]


def calls(capture: Capture) -> list[Event]:
    return [event for event in read_events(capture) if event.kind == Kind.SYSCALL]


def test_a_number_means_what_was_opened_last(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("read", 0, 3, 0, 1, ret=1)
        out.call("openat", 20, 0, 0, 0, text=b"/a", ret=3)
        out.call("read", 40, 3, 0, 1, ret=1)
        out.call("close", 60, 3)
        out.call("read", 80, 3, 0, 1, ret=-9)
        out.call("openat", 100, 0, 0, 0, text=b"/b", ret=3)
        out.call("read", 120, 3, 0, 1, ret=1)

    assert targets(build(fill)) == [None, b"/a", None, b"/b"]


def test_an_open_that_failed_changes_nothing(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.call("openat", 20, 0, 0, 0, text=b"/b", ret=-2)
        out.call("read", 40, 3, 0, 1, ret=1)

    assert targets(build(fill)) == [b"/a"]


def test_duplicates_of_duplicates(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.call("dup", 20, 3, ret=4)
        out.call("dup2", 40, 4, 9, ret=9)
        out.call("fcntl", 60, 9, 1030, 20, ret=20)
        out.call("close", 80, 3)
        out.call("read", 100, 20, 0, 1, ret=1)

    assert targets(build(fill)) == [b"/a"]


def test_a_child_inherits_and_goes_its_own_way(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.add(Kind.TASK, 20, nr=Task.FORK, args=(2000, 2000))
        out.call("close", 30, 3)
        out.call("openat", 50, 0, 0, 0, text=b"/parent", ret=3)
        out.call("read", 70, 3, 0, 1, ret=1, pid=2000, tid=2000)
        out.add(Kind.TASK, 90, nr=Task.FORK, args=(3000, 3000), pid=2000, tid=2000)
        out.call("read", 100, 3, 0, 1, ret=1, pid=3000, tid=3000)
        out.call("read", 120, 3, 0, 1, ret=1)

    assert targets(build(fill)) == [b"/a", b"/a", b"/parent"]


def test_threads_share_their_process_s_table(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3, tid=1001)
        out.call("read", 20, 3, 0, 1, ret=1, tid=1002)

    assert targets(build(fill)) == [b"/a"]


def test_pipes_sockets_and_their_addresses(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("pipe2", 0, 0x10, 0, text=struct.pack("<ii", 5, 6))
        out.call("read", 20, 5, 0, 1, ret=1)
        out.call("socket", 40, 1, 1, 0, ret=7)
        out.call("read", 60, 7, 0, 1, ret=1)
        out.call("connect", 80, 7, 0, 10, text=struct.pack("<H", 1) + b"/s\0")
        out.call("read", 100, 7, 0, 1, ret=1)
        out.call("memfd_create", 120, 0, 0, text=b"shared", ret=8)
        out.call("read", 140, 8, 0, 1, ret=1)

    assert targets(build(fill)) == [b"pipe:", b"socket:", b"unix:/s", b"shared"]


def test_an_open_by_one_thread_during_a_read_by_another(build: Build) -> None:
    """The read began before the descriptor meant the new file."""

    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.call("read", 20, 3, 0, 1, ret=1, took_us=100)
        out.call("close", 30, 3, tid=1001)
        out.call("openat", 50, 0, 0, 0, text=b"/b", ret=3, tid=1001)

    assert targets(build(fill)) == [b"/a"]


def test_an_empty_path_means_the_descriptor(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.call("newfstatat", 20, 3, 0, 0, 0x1000)
        out.call("newfstatat", 40, -100, 0, 0, 0, text=b"/b")

    assert targets(build(fill), "newfstatat") == [b"/a", b"/b"]


def test_anonymous_mappings_use_no_descriptor(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("openat", 0, 0, 0, 0, text=b"/a", ret=3)
        out.call("mmap", 20, 0, 4096, 3, 0x22, 3, 0, ret=0x1000)
        out.call("mmap", 40, 0, 4096, 3, 0x2, 3, 0, ret=0x2000)

    assert targets(build(fill), "mmap") == [None, b"/a"]


def test_pieces_of_any_size_give_the_same(load_capture: Capture) -> None:
    """The state kept between pieces is the same as working on all at once."""
    (whole,) = list(Timeline(load_capture))
    records = whole.records

    def resolve(step: int) -> list[bytes]:
        names = Names(load_capture.text)
        table = FdTable(names)
        found: list[bytes] = []
        for begin in range(0, len(records), step):
            resolved = table.resolve(View(records[begin : begin + step], begin))
            found += [names.name(number) for number in np.asarray(resolved).tolist()]
        return found

    expected = resolve(len(records))
    assert any(expected)
    for step in (1, 2, 3, 7, 20):
        assert resolve(step) == expected
