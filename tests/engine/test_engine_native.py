"""The compiled module must fit the Python source and the library that was loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import clean_environment

from llamactl import __version__
from llamactl.engine import backends, cpu_features, devices, system_info, versions
from llamactl.engine.native import check_library, check_stamp, ffi, lib, text
from llamactl.errors import LlamactlError


def test_stamps_are_compared() -> None:
    check_stamp(__version__, __version__)
    with pytest.raises(LlamactlError, match=r"of llamactl 9\.9\.9, the Python code of 1\.0") as caught:
        check_stamp("9.9.9", "1.0")
    assert "pip install" in caught.value.hint
    with pytest.raises(
        LlamactlError, match="libllama is commit aaa, llamactl was compiled for bbb"
    ) as caught:
        check_library("aaa", "bbb")
    assert "LD_LIBRARY_PATH" in caught.value.hint
    assert text(lib.llamactl_stamp()) == __version__


def test_a_library_that_cannot_be_loaded_is_one_line(tmp_path: Path, llamactl: object) -> None:
    """A broken libllama before ours on the loader's path."""
    (tmp_path / "libllama.so").write_bytes(b"not a library")
    result = subprocess.run(
        [sys.executable, "-m", "llamactl", "--version"],
        env=clean_environment(LD_LIBRARY_PATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        pytest.skip("this build finds its own library first (DT_RPATH)")
    assert result.returncode == 125
    assert result.stderr.count("\n") == 1
    assert "the compiled engine can't be loaded" in result.stderr


def test_facts_of_the_library() -> None:
    found = versions()
    assert all((found.llama, found.commit, found.ggml))
    assert "CPU" in backends()
    assert any(device.type == "cpu" and device.memory_total_bytes > 0 for device in devices())
    assert "CPU" in system_info()
    assert set(cpu_features().values()) <= {"0", "1"} or cpu_features()
    assert text(ffi.NULL) == ""
