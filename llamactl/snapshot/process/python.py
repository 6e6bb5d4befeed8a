"""The Python of a process: version, with or without GIL, interpreter, virtual environment."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llamactl.snapshot.process.elf import Elf, read_elf
from llamactl.snapshot.process.libraries import is_python
from llamactl.snapshot.process.proc import ProcessDir

_SITE = re.compile(r"^(.*)/lib(?:64)?/python3\.\d+t?/(?:site|dist)-packages/")
_VERSION = re.compile(r"python(3\.\d+)(t?)")
_LEVELS = {0xA: "a", 0xB: "b", 0xC: "rc", 0xF: ""}


@dataclass(frozen=True, slots=True)
class Python:
    """CPython inside of a process. ``prefix`` is of the environment whose packages are mapped."""

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
    files: Iterable[str],
    environment: Mapping[str, str] | None,
) -> Python | None:
    """Return the Python of a process, or None when it has none.

    Args:
        process: The process.
        executable: Where ``/proc/PID/exe`` points.
        command: Its command line; the first word is how the interpreter was called.
        files: Paths of mapped files.
        environment: What it was started with, or None.
    """
    files = list(files)
    home = next((path for path in files if path.rpartition("/")[2].startswith("libpython3")), None)
    if home is None and executable and is_python(executable.rpartition("/")[2]):
        home = executable
    if home is None:
        return None
    elf = _elf(process, home)
    prefix = _prefix(process, command, files)
    free = _free_threaded(elf)
    return Python(
        version=_version(elf, home),
        free_threaded=free,
        gil=_gil(free, environment),
        library=home,
        interpreter=_interpreter(process, prefix, executable),
        prefix=prefix,
        virtual_environment=(process.path(prefix) / "pyvenv.cfg").exists() if prefix else None,
    )


def _elf(process: ProcessDir, path: str) -> Elf | None:
    try:
        return read_elf(process.path(path))
    except OSError:
        return None


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
    first = next(iter(command), "")
    if first.startswith("/"):
        called = Path(first).parent.parent
        if is_python(Path(first).name) and (process.path(str(called)) / "pyvenv.cfg").exists():
            return str(called)
    found = [match[1] for path in files if (match := _SITE.match(path))]
    return max(set(found), key=found.count) if found else None


def _interpreter(process: ProcessDir, prefix: str | None, executable: str | None) -> str | None:
    if prefix and process.path(f"{prefix}/bin/python").exists():
        return f"{prefix}/bin/python"
    return executable
