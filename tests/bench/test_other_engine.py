"""``--against`` with an engine of another commit: used where it fits, refused where it doesn't."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
SHORT = ("-p", "0", "-n", "2", "-r", "8", "-q")


def put_in_front(directory: Path, library: str, source: str, *defines: str) -> None:
    """Give a library of the directory another name, and its own to a small one that needs it."""
    real = directory / f"{library[:-4]}X.so"
    (directory / library).rename(real)
    # Another name inside, of the same length: the loader takes one library of a name.
    inside, other = f"\0{library}\0".encode(), f"\0{real.name}\0".encode()
    real.write_bytes(real.read_bytes().replace(inside, other))
    command = [
        "gcc", "-O2", "-shared", "-fPIC", *defines, "-Wl,--no-as-needed", f"-Wl,-soname,{library}",
        "-Wl,-rpath,$ORIGIN", "-o", str(directory / library), str(PROGRAMS / source), str(real),
    ]  # fmt: skip
    subprocess.run(command, check=True)


@pytest.fixture
def other_engine(engine_lib: Path, tmp_path: Path) -> Path:
    """The engine, saying that it is of another commit."""
    if not shutil.which("gcc"):
        pytest.skip("gcc isn't installed")
    directory = tmp_path / "engine"
    directory.mkdir()
    for file in engine_lib.glob("*.so"):
        shutil.copy(file, directory)
    put_in_front(directory, "libggml-base.so", "other_commit.c")
    return directory


def test_another_commit_that_fits_is_measured(bench: Run, other_engine: Path) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    done = bench(*SHORT, "--against", str(other_engine), "--fail-if", "crossings > 1")
    assert done.returncode == 0, done.stderr
    assert "passed: crossings > 1" in done.stderr
    # The engine is named as what differs: BASE's commit, then ours.
    assert any("feedbee12" in line and "engine" in line for line in done.stderr.splitlines())


def refused(bench: Run, engine: Path) -> str:
    done = bench(*SHORT, "--against", str(engine))
    assert done.returncode == 125
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "Build llamactl for that engine and use --against-python." in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("more", "swap", "message"),
    [
        (1, 0, "(commit feedbee12) has another ABI: llama_context_params is longer than 160 bytes"),
        (0, 1, "(commit feedbee12) has another ABI: llama_context_params.n_ctx isn't as in this engine"),
    ],
)
def test_another_layout_is_refused(
    bench: Run, other_engine: Path, more: int, swap: int, message: str
) -> None:
    put_in_front(other_engine, "libllama.so", "other_layout.c", f"-DMORE={more}", f"-DSWAP={swap}")
    assert message in refused(bench, other_engine)


def test_a_missing_function_is_refused(bench: Run, other_engine: Path) -> None:
    library = other_engine / "libllama.so"
    library.write_bytes(
        library.read_bytes().replace(b"\0llama_set_causal_attn\0", b"\0llama_set_causal_attX\0")
    )
    assert "undefined symbol: llama_set_causal_attn" in refused(bench, other_engine)


def test_an_engine_that_doesnt_say_its_commit_is_refused(bench: Run, other_engine: Path) -> None:
    (other_engine / "libggml-base.so").unlink()
    assert "doesn't say of which commit it is" in refused(bench, other_engine)
