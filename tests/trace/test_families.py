"""The families of ``-e %family`` hold the calls that strace's hold: asked by a program that makes every call."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from llamactl.trace.decode.filters import default_calls, parse_calls
from llamactl.trace.decode.table import calls

PROGRAM = Path(__file__).parents[1] / "programs" / "every_call.c"
LAST = 450
"""strace 6.1 knows the calls up to here."""

OURS_ALONE = {
    "desc": {"close_range", "epoll_ctl_old", "epoll_wait_old"},  # They work on descriptors.
    "memory": {"process_madvise"},
    "process": {"unshare"},
}
THEIRS_ALONE = {
    "network": {"getpmsg", "putpmsg"},  # No Linux has them.
    "desc": {"finit_module", "kexec_file_load"},  # A program that loads a model makes no such call.
}


@pytest.fixture(scope="module")
def every_call(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("program") / "every_call"
    subprocess.run(["cc", "-O2", str(PROGRAM), "-o", str(target)], check=True)
    return str(target)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are x86-64's")
@pytest.mark.skipif(not shutil.which("strace"), reason="strace isn't installed: nothing to compare with")
@pytest.mark.parametrize(
    "family", ["file", "desc", "memory", "process", "network", "signal", "ipc", "clock", "creds"]
)
def test_a_family_holds_what_strace_s_holds(every_call: str, family: str) -> None:
    command = ["strace", "-f", "-c", "-U", "name,calls", "-e", f"trace=%{family}", every_call, str(LAST)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = set(re.findall(r"^(\w+) +\d+$", done.stderr, re.MULTILINE)) - {"total"}
    table = calls(0)
    chosen = parse_calls([f"%{family}"])
    assert chosen is not None
    ours = {table[number].name for number in chosen if number <= LAST}
    assert ours - theirs == OURS_ALONE.get(family, set())
    assert theirs - ours == THEIRS_ALONE.get(family, set())
    assert len(theirs) >= 8


def test_the_default_has_sockets_and_descriptors() -> None:
    names = {calls(0)[number].name for number in default_calls(0)}
    assert {"socket", "connect", "recvmsg", "close_range", "openat", "mmap", "clone3"} <= names
    assert not names & {"futex", "sched_yield", "clock_gettime", "getuid"}
