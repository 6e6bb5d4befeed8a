"""Whether the program of a process is a Python interpreter that we may start to ask it something.

Starting somebody's program is the last resort: a frozen application looks like an interpreter in ``/proc``,
and the path of a process in another mount namespace is another program here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from llamactl.process import proc_pid
from llamactl.process.answering import answered_stat
from llamactl.process.elf import Elf
from llamactl.process.engine.libraries import is_python
from llamactl.process.proc import ProcessDir


def find_program(executable: str | None, files: Mapping[str, Elf | None]) -> str | None:
    """Return the mapped file that is a Python interpreter; None where another program has Python inside.

    The program is the loader where that was called by hand, so the interpreter is looked for.
    """
    paths = ([executable] if executable else []) + sorted(files)
    return next((path for path in paths if _is_interpreter(path, files.get(path))), None)


def _is_interpreter(path: str, elf: Elf | None) -> bool:
    if elf is None or not is_python(path.rpartition("/")[2]):
        return False
    # Either CPython is in the program, or in the library that it needs: a frozen one opens its own later.
    inside = elf.symbol("Py_BytesMain") is not None
    return inside or any(name.startswith("libpython") for name in elf.needed)


def why_not_asked(
    process: ProcessDir,
    interpreter: str,
    program: Path,
    stat: Callable[[str | Path], os.stat_result] = answered_stat,
) -> str:
    """Return why a process's interpreter isn't started by us; empty where it may be.

    Args:
        process: The process.
        interpreter: The path to start.
        program: Where the program that the process runs can be read by us.
        stat: Asks for a file's identity.
    """
    try:
        for name, what in (("ns/mnt", "mount namespace"), ("root", "root directory")):
            if not _same(stat(proc_pid.place(process.pid, name)), stat(proc_pid.place("self", name))):
                return f"the process has another {what}, {interpreter} is another file there"
        if not _same(stat(interpreter), stat(program)):
            return f"{interpreter} isn't the program that the process runs"
    except OSError as error:
        return f"{interpreter} can't be compared with the program that runs: {error.strerror}"
    if not _has_library(Path(os.path.realpath(interpreter)).parent, Path(interpreter).parent):
        return f"{interpreter} has no standard library beside it: maybe it is an application"
    return ""


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _has_library(*folders: Path) -> bool:
    """Tell whether ``os.py`` lies where an interpreter in these folders looks for it, or an environment is named."""
    for folder in folders:
        if any(folder.parent.glob("lib*/python3*/os.py")) or (folder.parent / "pyvenv.cfg").exists():
            return True
    return False
