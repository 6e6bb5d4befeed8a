"""Symbols of real files, against what nm says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.process.symbols import Symbols, read_symbols


def nm(path: Path, *options: str) -> dict[str, int]:
    """Return the functions (types T and W) that nm lists, by name without version."""
    out = subprocess.run(["nm", *options, str(path)], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in out.splitlines())
    return {row[2].split("@")[0]: int(row[0], 16) for row in rows if len(row) == 3 and row[1] in "TW"}


def read(path: Path, *prefixes: bytes) -> Symbols:
    symbols = read_symbols(path, prefixes)
    assert symbols is not None
    return symbols


def test_exported_functions(built: Path) -> None:
    library = built / "libllama.so"
    symbols = read(library, b"llama_")
    expected = {
        name: at for name, at in nm(library, "-D", "--defined-only").items() if name.startswith("llama_")
    }
    assert symbols.functions == expected
    assert "llama_decode" in expected


def test_wanted_functions(built: Path) -> None:
    symbols = read(built / "boundary_loop", b"llama_")
    assert symbols.wanted == {"llama_n_ctx", "llama_calls_itself"}
    assert not symbols.functions


def test_offset_finds_the_same_bytes(built: Path) -> None:
    library = built / "libllama.so"
    symbols = read(library, b"llama_nothing")
    offset = symbols.offset_of(symbols.functions["llama_nothing"])
    assert offset is not None
    code = library.read_bytes()[offset : offset + 5]
    assert code[:1] == b"\xc3" or code[:5] == b"\xf3\x0f\x1e\xfa\xc3"  # ret, maybe behind endbr64
    assert symbols.offset_of(1 << 60) is None


def test_what_is_no_elf_file(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"hello"), ("short", b"\x7fELF\x02\x01")):
        (tmp_path / name).write_bytes(content)
        assert read_symbols(tmp_path / name, (b"llama_",)) is None
    whole = Path(sys.executable).resolve().read_bytes()
    (tmp_path / "cut").write_bytes(whole[:2000])
    assert read_symbols(tmp_path / "cut", (b"llama_",)) is None
    with pytest.raises(OSError, match="No such file"):
        read_symbols(tmp_path / "missing", (b"llama_",))
