"""The ring has no path: who gets to it, and who doesn't (docs/threat-model.md)."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llamactl.trace.record.agent.layout import HEADER, MAGIC, VERSION
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Ring

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
NOBODY = 65534


def run(built: Path, ring: Ring, *arguments: str, inherit: bool = False, address: str = "") -> str:
    ring.inherit(inherit)
    environment = agent_environment(os.environ, find_agent(), address or ring.address)
    command = [str(built / "agent_ring"), *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, close_fds=not inherit
    )
    assert done.stderr == ""
    return done.stdout


def calls(ring: Ring) -> int:
    return len(ring.finish())


@pytest.mark.parametrize("inherit", [True, False])
def test_with_the_descriptor_and_without(built: Path, inherit: bool) -> None:
    with Ring(1024) as ring:
        run(built, ring, "crowd", "3", "4", inherit=inherit)
        assert calls(ring) == 7


def test_nothing_is_left_in_dev_shm(built: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    with Ring(1024) as ring:
        run(built, ring, "crowd", "3", "4")
        assert set(os.listdir("/dev/shm")) <= before


@pytest.mark.parametrize("inherit", [True, False])
def test_the_programs_descriptors_are_as_without_us(built: Path, inherit: bool) -> None:
    plain = subprocess.run([built / "agent_ring", "descriptors"], capture_output=True, text=True, check=True)
    with Ring(1024) as ring:
        listed = run(built, ring, "descriptors", inherit=inherit).split()
    assert [item for item in listed if item == "done" or not 3 <= int(item) < 900] == plain.stdout.split()


@root_only
@pytest.mark.parametrize(
    "by",
    [
        ("agent_ring", "become", str(NOBODY)),
        ("setpriv", "--reuid", str(NOBODY), "--clear-groups"),
        ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all"),
        ("unshare", "-U"),
    ],
    ids=["setresuid", "user", "capabilities", "namespace"],
)
def test_a_program_that_gives_its_rights_away_is_seen(built: Path, by: tuple[str, ...]) -> None:
    place = Path("/tmp") / f"llamactl-door-{os.getpid()}"
    shutil.copytree(built, place)
    try:
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        if not _can_read_agent() or shutil.which(by[0], path=f"{place}:{os.environ['PATH']}") is None:
            pytest.skip("nobody can't read the agent's folder, or the program isn't here")
        with Ring(1024) as ring:
            environment = {
                **agent_environment(os.environ, find_agent(), ring.address), "LD_LIBRARY_PATH": str(place),
                "PATH": f"{place}:{os.environ['PATH']}",
            }  # fmt: skip
            ring.inherit(True)
            command = [*by, str(place / "agent_ring"), "crowd", "3", "4"]
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, close_fds=False,
                executable=shutil.which(by[0], path=environment["PATH"]),
            )  # fmt: skip
            if by[0] == "unshare" and done.returncode:
                pytest.skip(f"no user namespaces here: {done.stderr}")
            assert (done.stdout, done.stderr) == ("done\n", "")
            assert calls(ring) == 7
    finally:
        shutil.rmtree(place)


def _can_read_agent() -> bool:
    test = ["setpriv", "--reuid", str(NOBODY), "test", "-r", str(find_agent())]
    return shutil.which("setpriv") is not None and subprocess.run(test, check=False).returncode == 0


class Impostor:
    """Memory of somebody else, offered in the place of the ring.

    Args:
        sealed: Whether it can't be made shorter.
        key: What its header says.
    """

    def __init__(self, size: int, key: int, sealed: bool) -> None:
        import fcntl

        self.fd = os.memfd_create("other", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        header = HEADER.names
        assert header
        import numpy as np

        view = np.frombuffer(self.map, HEADER, 1)
        view["magic"], view["version"], view["header_size"], view["key"] = (
            MAGIC,
            VERSION,
            HEADER.itemsize,
            key,
        )
        if sealed:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.address = f"{os.getpid():x}:{self.fd:x}:{os.fstat(self.fd).st_ino:x}:{key:x}"


@pytest.mark.parametrize(
    ("size", "sealed"), [(8 << 20, False), (512, True), (8 << 20, True), (64 << 20, True)]
)
def test_memory_that_isnt_the_ring_is_left_alone(built: Path, size: int, sealed: bool) -> None:
    """Not sealed, too small, with parts that don't lie in it, too large: the program runs without the agent."""
    other = Impostor(size, 77, sealed)
    before = other.map[:]
    with Ring(1024) as ring:
        assert run(built, ring, "crowd", "3", "4", address=other.address) == "done\n"
        assert calls(ring) == 0
    assert other.map[:] == before
    os.close(other.fd)


def test_another_ring_than_the_environments_is_left_alone(built: Path) -> None:
    with Ring(1024) as ring, Ring(1024) as other:
        pid, fd, inode, _ = other.address.split(":")
        key = ring.address.split(":")[3]
        run(built, ring, "crowd", "3", "4", address=f"{pid}:{fd}:{inode}:{key}")
        wrong = f"{pid}:{fd}:{int(inode, 16) + 1:x}:{other.address.split(':')[3]}"
        run(built, ring, "crowd", "3", "4", address=wrong)
        assert calls(ring) == calls(other) == 0


def test_a_number_that_means_a_fifo_by_now_hangs_nobody(built: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    address = f"{os.getpid():x}:{fd:x}:{os.fstat(fd).st_ino:x}:1"
    with Ring(1024) as ring:
        assert run(built, ring, "crowd", "3", "4", address=address) == "done\n"
    os.close(fd)


def test_a_ring_that_is_gone_costs_nothing(built: Path) -> None:
    """After ``--duration`` the program and its children still have its address."""
    with Ring(1024) as ring, Ring(1024) as other:
        gone = ring.address
        ring.close()
        assert run(built, other, "crowd", "3", "4", address=gone) == "done\n"
        assert calls(other) == 0
