"""The Python of a process: version, with or without GIL, interpreter, virtual environment."""

from __future__ import annotations

import itertools
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llamactl.process.elf import Elf
from llamactl.process.engine.libraries import is_python
from llamactl.process.proc import ProcessDir
from llamactl.process.python.interpreter import find_program

_SITE = re.compile(r"^(.*)/lib(?:64)?/python3\.\d+t?/(?:site|dist)-packages/")
_VERSION = re.compile(r"python(3\.\d+)(t?)")
_FIRST_WORDS = 3
_LEVELS = {0xA: "a", 0xB: "b", 0xC: "rc", 0xF: ""}


@dataclass(frozen=True, slots=True)
class Python:
    """CPython inside of a process.

    ``prefix`` is of the environment whose packages are mapped. ``interpreter`` is how it can be started:
    None where another program has Python inside, such as a frozen application.
    """

    version: str
    free_threaded: bool | None
    gil: str
    library: str
    interpreter: str | None
    prefix: str | None
    virtual_environment: bool | None


def find_python(
    process: ProcessDir,
    executable: str | None,
    command: Iterable[str],
    files: Mapping[str, Elf | None],
    environment: Mapping[str, str] | None,
) -> Python | None:
    """Return the Python of a process, or None when it has none.

    Args:
        process: The process.
        executable: Where ``/proc/PID/exe`` points.
        command: Its command line; the first word is how the interpreter was called.
        files: What is mapped of code, by path.
        environment: What it was started with, or None.
    """
    program = find_program(executable, files)
    home = _home(files, executable)
    if home is None:
        return None
    elf = files.get(home)
    prefix = _prefix(process, command, files)
    free = _free_threaded(elf)
    return Python(
        version=_version(elf, home),
        free_threaded=free,
        gil=_gil(free, environment),
        library=home,
        interpreter=_interpreter(process, prefix, program),
        prefix=prefix,
        virtual_environment=(process.path(prefix) / "pyvenv.cfg").exists() if prefix else None,
    )


def _home(files: Mapping[str, Elf | None], executable: str | None) -> str | None:
    """Return the file that has CPython in it: by what it exports, by its name only where it can't be read."""
    for path, elf in files.items():
        if elf is not None and elf.symbol("Py_GetVersion") is not None:
            return path
    unread = [path for path, elf in files.items() if elf is None]
    home = next((path for path in unread if path.rpartition("/")[2].startswith("libpython3")), None)
    if home is None and executable in unread and is_python(executable.rpartition("/")[2]):
        return executable
    return home


def _version(elf: Elf | None, path: str) -> str:
    """Return the version from the exported ``Py_Version`` (from 3.11 on), else from the file's name."""
    symbol = elf.symbol("Py_Version") if elf else None
    if elf and symbol and len(raw := elf.at(symbol[0], 8)) == 8:
        (number,) = struct.unpack("<Q", raw)
        level, serial = _LEVELS.get(number >> 4 & 0xF, "?"), number & 0xF
        text = f"{number >> 24 & 0xFF}.{number >> 16 & 0xFF}.{number >> 8 & 0xFF}"
        return f"{text}{level}{serial}" if level else text
    match = _VERSION.search(path)
    return match[1] if match else "unknown"


def _free_threaded(elf: Elf | None) -> bool | None:
    """Tell a build without the GIL by a function that only such builds export (object.h)."""
    return elf.symbol("_Py_MergeZeroLocalRefcount") is not None if elf else None


def _gil(free_threaded: bool | None, environment: Mapping[str, str] | None) -> str:
    if free_threaded is None:
        return "unknown"
    if not free_threaded:
        return "on"
    if environment is None:
        return "unknown"
    wish = environment.get("PYTHON_GIL")
    if wish in ("0", "1"):
        return f"{'on' if wish == '1' else 'off'} (PYTHON_GIL={wish})"
    return "off, unless a module or -X gil turned it on"


def _prefix(process: ProcessDir, command: Iterable[str], files: Iterable[str]) -> str | None:
    """Return the environment: of the interpreter as it was called, else of the packages that are mapped."""
    for word in itertools.islice(command, _FIRST_WORDS):  # The loader may come first.
        if "/" not in word or not is_python(word.rpartition("/")[2]):
            continue
        called = os.path.normpath(f"{_directory(process)}/{word}" if word[0] != "/" else word).rpartition(
            "/"
        )[0]
        prefix = called.rpartition("/")[0]
        if (process.path(prefix) / "pyvenv.cfg").exists():
            return prefix
    found = [match[1] for path in files if (match := _SITE.match(path))]
    return max(set(found), key=found.count) if found else None


def _directory(process: ProcessDir) -> str:
    """Return where it works: a relative command was meant from there, if it hasn't moved since."""
    try:
        return process.link("cwd")
    except OSError:
        return ""


def _interpreter(process: ProcessDir, prefix: str | None, program: str | None) -> str | None:
    if program is None:
        return None
    called = f"{prefix}/bin/python" if prefix else program
    try:
        same = process.path(called).samefile(process.path(program))
    except OSError:
        same = False
    return called if same else program
