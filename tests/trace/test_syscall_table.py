"""The tables of system calls against the kernel's headers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from llamactl.process.threads import waiting
from llamactl.trace.decode.arguments import DECODERS
from llamactl.trace.decode.families import Family
from llamactl.trace.decode.structures import READERS
from llamactl.trace.decode.table import ROWS, call_of, calls, moving, numbers

X86_64 = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h"))
GENERIC = Path("/usr/include/asm-generic/unistd.h")
# What arch/arm64/include/uapi/asm/unistd.h sets before it includes the generic table.
ARM64 = ("__ARCH_WANT_RENAMEAT", "__ARCH_WANT_NEW_STAT", "__ARCH_WANT_SET_GET_RLIMIT",
         "__ARCH_WANT_TIME32_SYSCALLS", "__ARCH_WANT_SYS_CLONE3", "__ARCH_WANT_MEMFD_SECRET")  # fmt: skip
NOT_CALLS = {"syscalls", "arch_specific_syscall"}


def macros(header: Path) -> dict[str, int]:
    """Return the numbers that a header defines, seen through the preprocessor."""
    definitions = [f"-D{name}" for name in ARM64]
    out = subprocess.run(
        ["gcc", "-E", "-dM", "-D__BITS_PER_LONG=64", *definitions, str(header)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    raw = dict(re.findall(r"#define (__NR\w+) (\w+)", out))
    found = {}
    for name, given in raw.items():
        value = given
        while value in raw:
            value = raw[value]
        if name.startswith("__NR_") and value.isdigit() and name[5:] not in NOT_CALLS:
            found[name[5:]] = int(value)
    return found


@pytest.mark.parametrize(("arch", "headers"), [(0, X86_64), (1, (GENERIC,))], ids=["x86_64", "aarch64"])
def test_every_number_of_the_headers_has_its_name(arch: int, headers: tuple[Path, ...]) -> None:
    header = next((path for path in headers if path.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers for this architecture aren't installed")
    expected = macros(header)
    assert len(expected) > 300
    ours = numbers(arch)
    assert {name: ours.get(name) for name in expected} == expected


def test_every_decoder_that_a_row_names_exists() -> None:
    known = {*DECODERS, *READERS, "fd", "at", "open", "ioctl", "protocol"}
    for arch in (0, 1):
        for call in calls(arch).values():
            assert {kind for _, kind in call.arguments} <= known, call.name
            assert call.result in known, call.name


def test_a_call_has_one_row_and_every_row_is_a_call() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    assert set(names) <= set(numbers(0)) | set(numbers(1))


def test_no_two_calls_share_a_number() -> None:
    for arch in (0, 1):
        assert len(numbers(arch)) == len(calls(arch))


def test_an_unknown_number_still_has_a_name() -> None:
    call = call_of(0, 60000)
    assert call.name == "syscall_60000"
    assert len(call.arguments) == 6


def test_families_are_those_of_strace() -> None:
    of = {call.name: call.families for call in calls(0).values()}
    assert of["openat"] == Family.FILE | Family.DESC
    assert of["mmap"] == Family.MEMORY | Family.DESC
    assert of["execve"] == Family.PROCESS | Family.FILE
    assert of["connect"] == Family.NETWORK
    assert of["futex"] == Family.NONE


def test_strace_agrees_on_families() -> None:
    """Strace refuses a call that isn't in its table, so it can be asked which calls a family has."""
    script = "import os; os.open('/dev/null', 0); os.stat('/'); os.getpid(); os.pipe()"
    names = {}
    for family in ("file", "desc", "memory"):
        done = subprocess.run(
            ["strace", "-qq", "-e", f"trace=%{family}", "-e", "signal=none", "python3", "-S", "-c", script],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        names[family] = set(re.findall(r"^(\w+)\(", done.stderr, re.MULTILINE))
    ours = {call.name: call.families for call in calls(0).values()}
    for family, seen in names.items():
        assert seen
        missing = {name for name in seen if not ours[name] & Family[family.upper()]}
        assert not missing, family


def test_rows_say_what_moves_bytes() -> None:
    assert moving("in", network=False) == {"read", "pread64", "readv", "preadv", "preadv2"}
    assert moving("out", network=True) == {"sendto", "sendmsg"}
    assert moving("over") == {"sendfile", "copy_file_range", "splice"}


def test_the_calls_in_which_threads_wait_have_the_same_names_and_ways() -> None:
    """What looks at processes knows few calls, and nothing of the recorder's tables."""
    for arch, names in enumerate((waiting._X86_64, waiting._ARM64)):
        assert {number: calls(arch)[number].name for number in names} == names
    many = {"recvmmsg", "sendmmsg"}  # Their result counts messages.
    assert waiting.READS - many <= moving("in")
    assert waiting.WRITES - many <= moving("out", "over")
