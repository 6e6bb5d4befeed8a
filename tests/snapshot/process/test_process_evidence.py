"""The binding of a process is what it has mapped and imported, not what is installed or what folders are called."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llamactl.process.engine.binding import Binding
from llamactl.process.engine.libraries import AGENT, library_role
from llamactl.process.python.distributions import Distribution, owner_of
from llamactl.snapshot.process import snapshot as module
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import ProcessSnapshot, inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
Compile = Callable[..., Path]
SOURCE = Path(__file__).resolve().parents[2] / "programs" / "stand_in_engine.c"
HIDDEN = "-fvisibility=hidden"
DECLARES = "import ctypes\nlib = ctypes.CDLL({library!r})\nlib.llama_decode.restype = ctypes.c_int\n"


@pytest.fixture
def engine_in() -> Compile:
    """Compile the stand-in for a file with llama.cpp inside."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler")

    def compile_to(path: Path, *options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O1", "-shared", "-fPIC", *options, str(SOURCE), "-o", str(path)]
        subprocess.run(command, check=True)
        return path

    return compile_to


def install(place: Path, name: str, version: str, *files: str) -> None:
    """Leave behind what installers leave: the metadata and the list of files."""
    metadata = place / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\ntext\n")
    (metadata / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))


def look(target: subprocess.Popen[str]) -> ProcessSnapshot:
    return inspect_process(target.pid, ("binding", "abi", "memory"))


def binding(target: subprocess.Popen[str]) -> Binding:
    found = look(target).binding
    assert found is not None
    return found


def test_what_is_installed_and_not_imported_is_not_the_binding(
    start: Start, engine_in: Compile, tmp_path: Path
) -> None:
    site = tmp_path / "lib/python3.12/site-packages"
    (site / "llama_cpp").mkdir(parents=True)
    library = engine_in(tmp_path / "elsewhere/libllama.so")
    (site / "llama_cpp/llama_cpp.py").write_text(DECLARES.format(library=str(library)))
    install(site, "llama_cpp_python", "9.9.1", "llama_cpp/llama_cpp.py")
    found = binding(start("wait_with.py", "ctypes", str(library), PYTHONPATH=str(site)))
    assert (found.name, found.version, found.interface) == ("unknown", None, "ctypes")
    found = binding(start("wait_with.py", "llama_cpp.llama_cpp", PYTHONPATH=str(site)))
    assert (found.name, found.version) == ("llama-cpp-python", "9.9.1")
    assert found.source == str(site / "llama_cpp/llama_cpp.py")


def test_a_script_that_declares_the_functions_itself(
    start: Start, engine_in: Compile, tmp_path: Path
) -> None:
    library = engine_in(tmp_path / "libllama.so")
    (tmp_path / "mine.py").write_text(DECLARES.format(library=str(library)))
    found = look(start("wait_with.py", "mine", PYTHONPATH=str(tmp_path)))
    assert found.binding is not None
    assert (found.binding.name, found.binding.source) == ("own code", str(tmp_path / "mine.py"))
    # Its module would be executed by importing it, and none is known.
    assert found.abi is not None and found.abi.reason.startswith("not asked: ")


def test_any_binding_has_its_name_and_version(start: Start, engine_in: Compile, tmp_path: Path) -> None:
    """An engine inside of a library that a package nobody knows opens with ctypes (as gpt4all does)."""
    site = tmp_path / "site-packages"
    library = engine_in(site / "nobody/deep/libnobody-avx.so", HIDDEN)
    (site / "nobody/__init__.py").write_text(f"import ctypes\nlib = ctypes.CDLL({str(library)!r})\n")
    install(site, "No.Body", "0.3", "nobody/__init__.py", "nobody/deep/libnobody-avx.so")
    found = look(start("wait_with.py", "nobody", PYTHONPATH=str(site)))
    assert found.binding is not None
    assert (found.binding.name, found.binding.version) == ("no-body", "0.3")
    assert found.binding.interface == "ctypes"
    (file,) = found.engine or ()
    assert (file.kind, file.holds, file.exported) == ("static", "llama.cpp", False)
    assert found.memory is not None
    assert any(total.role == "engine" for total in found.memory.roles)


@pytest.mark.parametrize("folder", ["llamactl", "x y", "llama_cpp", "site-packages/llama_cpp"])
def test_folders_name_nothing(start: Start, engine_in: Compile, tmp_path: Path, folder: str) -> None:
    site = tmp_path / folder / "packages"
    path = engine_in(site / "somebody/_inner.abi3.so", "-DMODULE=_inner", '-DTOOL="cython_runtime"', HIDDEN)
    found = binding(start("wait_with.py", "ctypes", str(path)))
    assert (found.name, found.version) == ("_inner", None)
    install(site, "somebody", "1.2.3", "somebody/_inner.abi3.so")
    found = binding(start("wait_with.py", "ctypes", str(path)))
    assert (found.name, found.version, found.interface) == ("somebody", "1.2.3", "Cython")


@pytest.mark.parametrize(
    ("options", "holds"), [((), "llama.cpp"), (("-DWHISPER",), "whisper.cpp"), (("-DONLY_GGML",), "ggml")]
)
def test_an_engine_is_known_by_what_it_says(
    start: Start, engine_in: Compile, tmp_path: Path, options: tuple[str, ...], holds: str
) -> None:
    path = engine_in(tmp_path / "plugin.bin", HIDDEN, *options)
    (file,) = look(start("wait_with.py", "ctypes", str(path))).engine or ()
    assert (file.path, file.holds, file.exported) == (str(path), holds, False)


def test_a_name_alone_makes_no_engine(start: Start, tmp_path: Path) -> None:
    """Our own agent is one of these: ``libllamactl-agent.so``."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    source = tmp_path / "wrapper.c"
    source.write_text("int llama_wrapper_version(void) { return 1; }\n")
    for name in ("libllamafile.so", AGENT):
        path = tmp_path / name
        subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
        found = look(start("wait_with.py", "ctypes", str(path)))
        assert found.engine == (), name
        assert found.binding is not None and found.binding.name == "none"
    assert library_role(AGENT) == "agent"


def test_two_hidden_copies_are_found(start: Start, engine_in: Compile, tmp_path: Path) -> None:
    paths = [str(engine_in(tmp_path / name / "plugin.so", HIDDEN)) for name in ("a", "b")]
    findings = find_findings(look(start("wait_with.py", "ctypes", *paths)))
    assert "engine-twice" in {finding.code for finding in findings}


def test_builds_for_several_processors_are_no_copies(
    start: Start, engine_in: Compile, tmp_path: Path
) -> None:
    paths = [str(engine_in(tmp_path / name)) for name in ("inner-avx.so", "inner-avx2.so")]
    findings = find_findings(look(start("wait_with.py", "ctypes", *paths)))
    assert "engine-twice" not in {finding.code for finding in findings}


def test_who_installed_a_file(tmp_path: Path) -> None:
    site = tmp_path / "anywhere"
    for file in ("shared/one.so", "shared/two.so", "old/three.so", "loose/four.so"):
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_bytes(b"")
    install(site, "first", "1", "shared/one.so")
    install(site, "second", "2", '"shared/two.so"')
    egg = site / "old-3.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Name: Old\nVersion: 3\n\n")
    (egg / "top_level.txt").write_text("old\n")
    assert owner_of(str(site / "shared/one.so")) == Distribution("first", "1", str(site))
    assert owner_of(str(site / "shared/two.so")) == Distribution("second", "2", str(site))
    assert owner_of(str(site / "old/three.so")) == Distribution("old", "3", str(site))
    assert owner_of(str(site / "loose/four.so")) is None
    assert owner_of("/nowhere/at/all.so") is None


def test_without_the_right_to_read_memory_the_owner_of_the_engine_is_told(
    start: Start, engine_in: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    library = engine_in(site / "nobody/libllama.so")
    install(site, "nobody", "0.3", "nobody/libllama.so")
    monkeypatch.setattr(module, "imported_sources", lambda *_: None)
    found = binding(start("wait_with.py", "ctypes", str(library)))
    assert (found.name, found.version) == ("nobody", "0.3")
    assert "can't be read" in found.evidence
