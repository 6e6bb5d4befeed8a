"""A call through an installed package names the package's line, and the line outside that led there."""

from __future__ import annotations

from pathlib import Path

from agent_support import Trace, Traced, exchange_of

from llamactl.trace.mechanisms.interface.crossings import function_rows

BINDING = """
import ctypes
def load(kind, path):
    return getattr(ctypes, kind)(path)
def call(library):
    return library.llama_sleep_us(1)
def text(library):
    return library.llama_nothing(None)
def deeper(library, depth):
    return deeper(library, depth - 1) if depth else call(library)
"""
USER = """
import sys
import binding
library = binding.load(sys.argv[1], sys.argv[2])
def often():
    for _ in range(1100):
        binding.deeper(library, 9)
often()
binding.deeper(library, 40)
for _ in range(70):
    binding.text(library)
library.llama_n_ctx(None)
"""


def test_the_line_outside_of_packages_is_named(
    built: Path, traced: Trace, python: str, tmp_path: Path
) -> None:
    packages = tmp_path / "lib" / "python3.9" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "binding.py").write_text(BINDING)
    user = tmp_path / "user.py"
    user.write_text(USER)
    for kind in ("PyDLL", "CDLL"):
        environment = {"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"}
        result = traced(python, user, kind, built / "libllama.so", env=environment)
        assert result.returncode == 0, result.err
        rows = {row.name: row for row in function_rows(exchange_of(result))}
        sleeps, direct = rows["llama_sleep_us"], rows["llama_n_ctx"]
        assert sleeps.count == 1101
        assert [(Path(file).name, line) for file, line, _ in sleeps.places] == [("binding.py", 6)]
        # Calls of no weight are looked up now and then, and 40 frames is further than is looked.
        assert [(Path(file).name, line) for file, line, _ in sleeps.callers] == [("user.py", 7)]
        assert [(Path(file).name, line) for file, line, _ in direct.places] == [("user.py", 12)]
        assert direct.callers == ()
        few = rows["llama_nothing"]
        assert [(Path(file).name, line) for file, line, _ in few.places] == [("binding.py", 8)]
        assert {(Path(file).name, line) for file, line, _ in few.callers} <= {("user.py", 11)}


LAUNCHER = """
# -*- coding: utf-8 -*-
import re
import sys
from binding import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""
COMMAND = """
import ctypes, sys
def main():
    library = ctypes.CDLL(sys.argv[1])
    for _ in range(2):
        library.llama_decode(None, None)
"""
IMPORTED = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for _ in range(2):
    library.llama_decode(None, None)
"""


def decode_callers(result: Traced) -> list[tuple[str, int]]:
    (decode,) = [row for row in function_rows(exchange_of(result)) if row.name == "llama_decode"]
    return [(Path(file).name, line) for file, line, _ in decode.callers]


def packages_with(tmp_path: Path, source: str) -> dict[str, str]:
    """Install a binding; return the environment that finds it."""
    packages = tmp_path / "lib" / "python3.9" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "binding.py").write_text(source)
    return {"PYTHONPATH": str(packages), "PATH": "/usr/bin:/bin"}


def test_the_launcher_of_a_console_script_is_not_the_user_s(
    built: Path, traced: Trace, python: str, tmp_path: Path
) -> None:
    environment = packages_with(tmp_path, COMMAND)
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "generate"
    launcher.write_text(LAUNCHER)
    assert decode_callers(traced(python, launcher, built / "libllama.so", env=environment)) == []
    # A script of the user's in such a folder is.
    launcher.write_text("import binding\nbinding.main()\n")
    assert decode_callers(traced(python, launcher, built / "libllama.so", env=environment)) == [
        ("generate", 2)
    ]


def test_the_importer_is_named_and_not_the_import_system(
    built: Path, traced: Trace, python: str, tmp_path: Path
) -> None:
    environment = packages_with(tmp_path, IMPORTED)
    user = tmp_path / "user.py"
    user.write_text("import sys\nimport binding\n")
    assert decode_callers(traced(python, user, built / "libllama.so", env=environment)) == [("user.py", 2)]
