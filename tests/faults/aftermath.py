"""What must be so after llamactl has ended, however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamactl.process.proc_text import maps_lines, status_fields
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.report import analyse

ROOT = Path(__file__).resolve().parents[1]
ENDS_S = 30.0
"""Longer than that is a hang, on the busiest machine."""


def compiled(name: str, folder: Path) -> str:
    """Compile tests/programs/NAME.c and return the executable."""
    target = folder / name
    if not target.exists():
        flags = ["-O2", "-pthread", "-Wno-unused-result"]
        subprocess.run(
            ["cc", *flags, str(ROOT / "programs" / f"{name}.c"), "-o", str(target), "-ldl"], check=True
        )
    return str(target)


@dataclass
class Room:
    """One llamactl with a folder for temporary files of its own, and a mark on all its processes.

    Attributes:
        folder: The test's own.
        temporary: TMPDIR of what is started here.
    """

    folder: Path
    temporary: Path = field(init=False)

    def __post_init__(self) -> None:
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        self._shared = set(os.listdir("/dev/shm"))
        self.mark = f"llamactl-fault-{os.getpid()}-{self.folder.name}-{time.monotonic_ns()}"

    @property
    def environment(self) -> dict[str, str]:
        """What its llamactl gets."""
        return os.environ | {"TMPDIR": str(self.temporary), "FAULT_MARK": self.mark, "LLAMACTL_DEBUG": ""}

    def start(self, *words: str, **options: Any) -> Any:
        """Start llamactl."""
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [str(Path(sys.executable).with_name("llamactl")), *words]
        return subprocess.Popen(command, env=self.environment, **options)

    def processes(self) -> list[int]:
        """Return the processes that carry the mark, zombies left out."""
        found = []
        for name in os.listdir("/proc"):
            with suppress(OSError):
                environ = Path(f"/proc/{name}/environ").read_bytes() if name.isdigit() else b""
                if f"FAULT_MARK={self.mark}".encode() in environ.split(b"\0"):
                    found.append(int(name))
        return found

    def check_nothing_left(self) -> None:
        """Fail if a process, a temporary file or shared memory of ours is left."""
        end = time.monotonic() + ENDS_S
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.02)
        assert left == [], [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
        assert list(self.temporary.iterdir()) == []
        # What another test has there for a moment isn't left.
        while (ours := self._new_shared()) and time.monotonic() < end:
            time.sleep(0.02)
        assert ours == set(), ours

    def _new_shared(self) -> set[str]:
        return {name for name in set(os.listdir("/dev/shm")) - self._shared if "llamactl" in name}


def check_untouched(pid: int, user_of_ours: bool = False) -> None:
    """Fail if a program is stopped or traced, has anything of ours, or its code isn't its file's.

    Args:
        pid: The program.
        user_of_ours: It has llamactl's engine by itself.
    """
    for entry in Path(f"/proc/{pid}/task").iterdir():
        status = status_fields((entry / "status").read_bytes())
        assert status["State"][0] in "RSD", status["State"]
        assert status["TracerPid"] == "0"
        assert int(status["SigQ"].split("/")[0]) < 100
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps_lines(Path(f"/proc/{pid}/maps").read_bytes()):
            foreign = b"llamactl" not in line.path or b"/tests/" in line.path or b"pytest" in line.path
            assert foreign or (user_of_ours and b"llamactl-" not in line.path), line.path
            if line.rights[2] == "x" and line.path.startswith(b"/") and "w" not in line.rights:
                memory.seek(line.start)
                with open(line.path, "rb") as file:
                    file.seek(line.offset)
                    size = line.end - line.start
                    expected = file.read(size).ljust(size, b"\0")
                assert memory.read(size) == expected, line.path


def check_capture(path: Path) -> None:
    """Fail if a capture that is there can't be opened and analysed."""
    if path.exists():
        analyse(Capture.open(path))


def check_kernel() -> None:
    """Fail if a uprobe with a name, or a BPF object, is pinned by us."""
    for place in ("/sys/kernel/tracing/uprobe_events", "/sys/kernel/debug/tracing/uprobe_events"):
        with suppress(OSError):
            assert "llamactl" not in Path(place).read_text()
    with suppress(OSError):
        assert not [name for name in os.listdir("/sys/fs/bpf") if "llamactl" in name]
