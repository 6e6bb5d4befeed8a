"""How a Python package gets into the environment that llamactl runs in, as a command that works there."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path


def install_command(package: str) -> str:
    """Return the command that installs a package where this llamactl looks for it.

    Named by the package itself: an extra of a name on the index is that of whoever has the name there.
    """
    python = shlex.quote(sys.executable)
    name = shlex.quote(package)
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file() and shutil.which("pipx"):
        return f"pipx inject {shlex.quote(prefix.name)} {name}"
    if importlib.util.find_spec("pip") is None:
        if shutil.which("uv"):
            return f"uv pip install --python {python} {name}"
        return f"{python} -m ensurepip && {python} -m pip install {name}"
    return f"{python} -m pip install {_managed()}{name}"


def install(package: str) -> str:
    """Return the sentence with that command."""
    return f"Install it: {install_command(package)}"


def _managed() -> str:
    """Return the option without which pip refuses a distribution's own Python (PEP 668)."""
    outside = sys.prefix == sys.base_prefix
    marked = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file()
    return "--break-system-packages " if outside and marked else ""
