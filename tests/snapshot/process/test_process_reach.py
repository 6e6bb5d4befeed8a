"""The files of a process are read where it has them: in a chroot, in a mount namespace of its own, deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import llamactl
from llamactl.process.memory.maps import ProcessMaps
from llamactl.process.proc import ProcessDir
from llamactl.process.reach import mapped_file, within_root
from llamactl.snapshot.process.snapshot import inspect_process
from llamactl.trace.record.calls.targets import find_targets

Start = Callable[..., "subprocess.Popen[str]"]
ENGINE = Path(llamactl.__file__).resolve().parent / "lib"


def test_a_path_is_said_from_inside() -> None:
    assert within_root("/jail/lib/x.so", "/jail") == "/lib/x.so"
    assert within_root("/jails/lib/x.so", "/jail") == "/jails/lib/x.so"
    assert within_root("/lib/x.so", "/") == "/lib/x.so"


@pytest.fixture
def made_process(tmp_path: Path) -> Path:
    """A directory like ``/proc/PID`` of a process whose root is ``jail``."""
    (tmp_path / "jail/lib").mkdir(parents=True)
    (tmp_path / "jail/lib/x.so").write_bytes(b"its own")
    process = tmp_path / "proc"
    (process / "map_files").mkdir(parents=True)
    (process / "root").symlink_to(tmp_path / "jail")
    return process


def identity(path: Path) -> tuple[str, int]:
    found = path.stat()
    return f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}", found.st_ino


def test_device_and_inode_decide_which_file_it_is(made_process: Path, tmp_path: Path) -> None:
    file = tmp_path / "jail/lib/x.so"
    for path in (str(file), "/lib/x.so"):
        found = mapped_file(made_process, path, *identity(file), (0x1000, 0x2000))
        assert found is not None and Path(found).samefile(file), path


def test_a_stranger_under_the_same_path_is_not_taken(made_process: Path, tmp_path: Path) -> None:
    file = tmp_path / "jail/lib/x.so"
    device, inode = identity(file)
    file.rename(tmp_path / "moved")
    file.write_bytes(b"a stranger")
    assert mapped_file(made_process, str(file), device, inode, (0x1000, 0x2000)) is None
    (made_process / "map_files/1000-2000").symlink_to(tmp_path / "moved")
    found = mapped_file(made_process, str(file), device, inode, (0x1000, 0x2000))
    assert found is not None and Path(found).read_bytes() == b"its own"


@pytest.mark.parametrize("where", ["shared", "own"])
def test_a_process_in_a_chroot(start: Start, tmp_path: Path, model_path: Path, where: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can change its root directory")
    jail = tmp_path / "jail"
    shutil.copytree(ENGINE, jail / "engine")
    shutil.copy(model_path, jail / "model.gguf")
    target = start("in_a_chroot.py", str(jail), "/engine/libllama.so", "/model.gguf", where)
    found = inspect_process(target.pid, ("binding", "memory"))
    assert found.memory is not None
    (model,) = found.memory.models
    assert model.parts and model.parts[0].tensors is not None, "its header was read"
    assert model.size_bytes == model_path.stat().st_size
    versions = {file.kind: file.version for file in found.engine or ()}
    assert versions["libllama"] and versions["libggml-base"], "its functions were read"
    targets = find_targets(target.pid)
    assert any(one.name == "llama_decode" for one in targets.targets)


def test_a_deleted_library_is_read_through_its_mapping(start: Start, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may follow map_files")
    copy = tmp_path / "engine"
    shutil.copytree(ENGINE, copy)
    target = start("wait_with.py", "ctypes", str(copy / "libggml-base.so"))
    shutil.rmtree(copy)
    found = inspect_process(target.pid, ("binding",))
    (file,) = found.engine or ()
    assert file.version and file.build_id
    maps = ProcessMaps(target.pid)
    (path,) = [path for path in maps.objects() if "libggml-base" in path]
    assert maps.readable(path).read_bytes()[:4] == b"\x7fELF"


def test_paths_of_the_process_and_of_the_kernel(start: Start, tmp_path: Path) -> None:
    target = start("wait_with.py", "json")
    with ProcessDir.open(target.pid) as process:
        assert process.path(str(tmp_path)).samefile(tmp_path)
