"""A call through an installed package names the package's line, and the line outside that led there."""

from __future__ import annotations

from pathlib import Path

from agent_support import Trace, exchange_of

from llamactl.trace.analysis.crossings import function_rows

BINDING = """
import ctypes
def load(kind, path):
    return getattr(ctypes, kind)(path)
def call(library):
    return library.llama_sleep_us(1)
def deeper(library, depth):
    return deeper(library, depth - 1) if depth else call(library)
"""
USER = """
import sys
import binding
library = binding.load(sys.argv[1], sys.argv[2])
def often():
    for _ in range(130):
        binding.deeper(library, 9)
often()
binding.deeper(library, 40)
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
        assert sleeps.count == 131
        assert [(Path(file).name, line) for file, line, _ in sleeps.places] == [("binding.py", 6)]
        # Calls of no weight are looked up now and then, and 40 frames is further than is looked.
        assert [(Path(file).name, line) for file, line, _ in sleeps.callers] == [("user.py", 7)]
        assert [(Path(file).name, line) for file, line, _ in direct.places] == [("user.py", 10)]
        assert direct.callers == ()
