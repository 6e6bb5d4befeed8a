"""``--against-python``: the llamactl of another virtual environment in turns with this one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import llamactl

Run = Callable[..., "subprocess.CompletedProcess[str]"]
VERSION = "0.0.9"


@pytest.fixture
def other_environment(tmp_path: Path) -> Path:
    """A virtual environment of the same Python, whose llamactl is this one and says another version."""
    environment = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    copy = packages / "llamactl"
    source = Path(llamactl.__file__).parent
    copy.mkdir()
    for entry in source.iterdir():
        # Another version needs another __init__.py and other compiled stamps; all else is the same.
        if entry.name not in {"__init__.py", "engine", "__pycache__"}:
            (copy / entry.name).symlink_to(entry)
    shutil.copytree(source / "engine", copy / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    init = (source / "__init__.py").read_text(encoding="utf-8")
    assert len(VERSION) == len(llamactl.__version__)
    (copy / "__init__.py").write_text(init.replace(llamactl.__version__, VERSION), encoding="utf-8")
    for module in (copy / "engine").glob("_engine*.so"):
        stamp = llamactl.__version__.encode() + b"\0"
        module.write_bytes(module.read_bytes().replace(b"\0" + stamp, b"\0" + VERSION.encode() + b"\0"))
    # What llamactl needs, from where this Python has it.
    paths = [path for path in sys.path if path.endswith("-packages")]
    (packages / "others.pth").write_text("\n".join(paths), encoding="utf-8")
    return environment


def test_another_environment_is_measured_in_turns(bench: Run, other_environment: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    done = bench(
        "-p", "0", "-n", "2", "-r", "8", "-q", "--against-python", str(other_environment),
        "--fail-if", "crossings > 1", "--fail-if", "kv_bytes > 1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "measured in turns" in done.stderr
    # BASE is the other one: it says so itself.
    assert any("llamactl" in line and "0.0.9" in line for line in done.stderr.splitlines())


def test_an_environment_of_another_protocol_is_refused(bench: Run, other_environment: Path) -> None:
    (bench_room,) = other_environment.glob("lib/python*/site-packages/llamactl/bench")
    source = bench_room.resolve()
    bench_room.unlink()
    shutil.copytree(source, bench_room)
    child = bench_room / "child.py"
    child.write_text(
        child.read_text(encoding="utf-8").replace("PROTOCOL = 2", "PROTOCOL = 7"), encoding="utf-8"
    )
    done = bench("-p", "0", "-n", "2", "-r", "8", "-q", "--against-python", str(other_environment))
    assert done.returncode == 125
    assert "speaks protocol 7, this one 2" in done.stderr and done.stderr.count("\n") == 1


def test_each_side_measures_with_its_own_version(other_environment: Path) -> None:
    from llamactl.bench.options import Options
    from llamactl.bench.remote import Remote, python_side

    with Remote(python_side(str(other_environment)), Options()) as remote:
        assert remote.environment.versions["llamactl"] == VERSION
