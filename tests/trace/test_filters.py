"""The language of ``-e``."""

from __future__ import annotations

import pytest

from llamactl.errors import UsageError
from llamactl.trace.decode.filters import default_calls, parse_calls
from llamactl.trace.decode.table import calls, numbers


def names(*expressions: str, arch: int = 0) -> set[str]:
    selected = parse_calls(expressions, arch)
    everything = calls(arch)
    return {everything[number].name for number in (everything if selected is None else selected)}


def test_names_families_and_expressions_add_up() -> None:
    chosen = names("trace=openat,%memory", "/^epoll_c/")
    assert {"openat", "mmap", "brk", "epoll_create", "epoll_create1", "epoll_ctl"} <= chosen
    assert "read" not in chosen


def test_a_later_exclamation_mark_takes_away() -> None:
    assert "mmap" not in names("trace=%memory,!mmap")
    assert "munmap" in names("trace=%memory,!mmap")


def test_a_leading_one_inverts_the_whole_as_in_strace() -> None:
    chosen = names("trace=!futex,read")
    assert not chosen & {"futex", "read"}
    assert "write" in chosen


def test_families_in_the_negative() -> None:
    chosen = names("trace=%file,!%memory,!/^stat/")
    assert "openat" in chosen
    assert not chosen & {"stat", "statx", "statfs", "mmap"}


def test_all_is_none() -> None:
    assert parse_calls(["trace=all"]) is None
    assert parse_calls(["none"]) == frozenset()


def test_a_comma_inside_an_expression_stays() -> None:
    assert names("/^(read|write)v{0,1}$/") == {"read", "readv", "write", "writev"}


def test_numbers_are_of_the_architecture() -> None:
    assert parse_calls(["openat"], 0) == frozenset({257})
    assert parse_calls(["openat"], 1) == frozenset({56})


def test_unknown_names_are_refused_unless_optional() -> None:
    with pytest.raises(UsageError, match="no system call is called 'opne'"):
        parse_calls(["trace=opne"])
    assert parse_calls(["trace=?opne,read"]) == frozenset({0})


@pytest.mark.parametrize("wrong", ["%nothing", "/(/", "", "write=3", "signal=all"])
def test_mistakes_are_told(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse_calls([wrong])


def test_the_default_leaves_out_what_a_thread_pool_does_all_the_time() -> None:
    chosen = default_calls()
    known = numbers(0)
    assert {
        known[name] for name in ("openat", "read", "mmap", "clone3", "execve", "connect", "rseq")
    } <= chosen
    assert not {known[name] for name in ("futex", "sched_yield", "clock_gettime", "nanosleep")} & chosen


@pytest.mark.parametrize("pattern", ["(" * 900, "a" * 1001, "a{99999999999999999999}"])
def test_an_expression_out_of_all_bounds_is_a_mistake(pattern: str) -> None:
    with pytest.raises(UsageError, match="regular expression"):
        parse_calls([f"/{pattern}/"])


def test_ten_thousand_families_take_no_longer_than_one() -> None:
    from time import process_time

    begun = process_time()
    assert parse_calls(["%file," * 10_000]) == parse_calls(["%file"])
    assert process_time() - begun < 2
