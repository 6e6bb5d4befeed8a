"""The C of llamactl compiles for aarch64, and the agent links without a C library, where there is a cross compiler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support import REPOSITORY

NATIVE = REPOSITORY / "llamactl" / "native"
CROSS = "aarch64-linux-gnu-"
MODULES = ("gguf", "kernel", "proc", "tracer", "bench")
"""All but ``engine``, which needs llama.cpp's own headers, and has nothing of a processor in it."""

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]

pytestmark = pytest.mark.skipif(
    not shutil.which(f"{CROSS}gcc"), reason=f"{CROSS}gcc isn't installed (Debian: gcc-aarch64-linux-gnu)"
)


def complaints(*words: str, cwd: Path) -> str:
    """Compile, and return what the compiler says; nothing when it has nothing to say."""
    done = subprocess.run(
        [f"{CROSS}gcc", "-fPIC", "-O2", *words], capture_output=True, text=True, check=False, cwd=cwd
    )
    return done.stderr or ("" if done.returncode == 0 else f"status {done.returncode}")


def undefined(library: Path) -> list[str]:
    names = subprocess.run(
        [f"{CROSS}nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True
    )
    return names.stdout.split()


def test_every_source_compiles_without_a_warning(tmp_path: Path) -> None:
    files = sorted(set(re.findall(r"\b(?!engine/)\w+/\w+\.c\b", cmake("native.cmake"))))
    assert len(files) > 20
    for name in files:
        options = ("-std=gnu11", *WARNINGS, f"-I{NATIVE}", "-c", "-o", "object.o")
        assert complaints(*options, str(NATIVE / name), cwd=tmp_path) == ""


@pytest.mark.parametrize("module", MODULES)
def test_the_module_s_declarations_fit(tmp_path: Path, module: str) -> None:
    pytest.importorskip("cffi")
    generated = tmp_path / f"{module}.c"
    command = [sys.executable, "-m", "cffi.gen_src", "exec-python", f"--ffi-var={module}"]
    subprocess.run(
        [*command, str(REPOSITORY / "ffi_build.py"), str(generated)], check=True, capture_output=True
    )
    said = complaints(
        "-std=gnu11", "-fsyntax-only", f"-I{NATIVE}", f"-I{sysconfig.get_paths()['include']}",
        "-DPy_LIMITED_API=0x030A0000", '-DLLAMACTL_VERSION="0"', '-DENGINE_COMMIT="0"', str(generated), cwd=tmp_path,
    )  # fmt: skip
    assert said == ""


def test_the_agent_links_with_nothing_missing(tmp_path: Path) -> None:
    """With the options of agent.cmake."""
    text = cmake("agent.cmake")
    names = re.search(r"set\(agent_sources ([^)]*)\)", text)
    options = re.search(r"COMPILE_LANGUAGE:C>:([^$]*)\$", text)
    special = re.search(r"set\(agent_options ([^)]*)\)", text)
    link = re.search(r"target_link_options\(llamactl_agent PRIVATE ([^)]*)\)", text)
    assert names and options and special and link
    library = tmp_path / "agent.so"
    said = complaints(
        "-shared", "-std=gnu11", "-D_GNU_SOURCE", "-fvisibility=hidden", *WARNINGS, *options[1].split(),
        f"-I{NATIVE}", *special[1].split(), *link[1].split(), *(str(NATIVE / name) for name in names[1].split()),
        str(NATIVE / "agent/aarch64.S"), "-o", str(library), cwd=tmp_path,
    )  # fmt: skip
    assert said == ""
    assert undefined(library) == []


def cmake(name: str) -> str:
    return (REPOSITORY / "llama.cpp" / name).read_text(encoding="utf-8")
