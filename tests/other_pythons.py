"""Run the quick tests on the other Pythons of this machine, with the one abi3 wheel.

Usage: python tests/other_pythons.py [3.12 …]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
QUICK = (
    "tests/engine",
    "tests/render",
    # The command line with a real run, a traced Python and a run with the agent inside, all on this Python.
    "tests/cli/test_cli_face.py",
    "tests/cli/test_cli_groups.py",
    "tests/cli/test_cli_streams.py",
    "tests/trace/exchange/test_observe.py",
    # What depends on the interpreter, and what is pure.
    "tests/trace/test_gil_word.py",
    "tests/trace/test_decode.py",
    "tests/trace/test_filters.py",
    "tests/trace/test_findings.py",
    "tests/trace/test_report.py",
)


def interpreter(version: str) -> str | None:
    """Return a command that runs this version of Python with venv, or ``None``."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [
        f"python{version}",
        *(str(path / "bin/python") for path in sorted(versions.glob(f"{version}.*"))),
    ]
    for candidate in candidates:
        code = "import sys, venv, ensurepip; sys.stdout.write('%d.%d' % sys.version_info[:2])"
        try:
            found = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if found.returncode == 0 and found.stdout == version:
            return candidate
    return None


def wheel(folder: str) -> Path:
    """Build the wheel once and return it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
    subprocess.run(command, check=True)
    return next(Path(folder).glob("llamactl-*.whl"))


def run_tests(python: str, version: str, package: Path) -> int:
    """Install the wheel for one Python and run the quick tests with it."""
    environment = ROOT / "build" / f"venv-{version}"
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{package}[test]"], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(package)], check=True)
    command = [str(environment / "bin/pytest"), "-q", "-m", "not slow", *QUICK]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Run everything; 1 if any Python failed, or one that was named isn't there."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    failed: list[str] = []
    passed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        package = wheel(folder)
        for version in sys.argv[1:] or [version for version in VERSIONS if version != own]:
            python = interpreter(version)
            print(f"== Python {version}: {python or 'not on this machine'}", flush=True)
            if python is None:
                failed += [version] if version in sys.argv else []
            else:
                (failed if run_tests(python, version, package) else passed).append(version)
    print(f"Passed on: {', '.join(passed) or 'none'}; failed on: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
