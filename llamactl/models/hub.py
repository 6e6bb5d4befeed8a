"""Models from Hugging Face: ``-hf user/repo[:quant]``, chosen and cached as llama.cpp does."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from llamactl.errors import LlamactlError, UsageError
from llamactl.models.cache import hub_cache
from llamactl.remedy import install

PREFERRED = ("Q4_K_M", "Q8_0")
SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
NOT_A_MODEL = re.compile(r"(mmproj|imatrix|mtp-|eagle3-|dflash-|dspark-)[^/]*$", re.IGNORECASE)
"""What llama.cpp looks for anywhere in a file's name (``gguf_filename_is_model``); in capitals it is no model either."""


def parse_reference(reference: str) -> tuple[str, str]:
    """Split ``user/repo[:quant]`` into repository and quantisation (``""`` if none).

    Raises:
        UsageError: It isn't of that form.
    """
    repository, _, quant = reference.partition(":")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or (":" in reference and not quant):
        raise UsageError(f"-hf {reference!r} isn't of the form user/repo[:quant]")
    return repository, quant


def choose_file(files: Iterable[str], quant: str) -> str | None:
    """Return the GGUF to take (``find_best_model`` in llama.cpp's ``common/download.cpp``).

    Without a quantisation Q4_K_M comes first, then Q8_0, then any; of a split model the first part.
    """
    models = [
        name for name in sorted(files) if name.lower().endswith(".gguf") and not NOT_A_MODEL.search(name)
    ]
    firsts = [name for name in models if not (match := SPLIT.search(name)) or int(match[1]) == 1]
    for wanted in (quant,) if quant else PREFERRED:
        pattern = re.compile(re.escape(wanted) + "[.-]", re.IGNORECASE)
        for name in firsts:
            if pattern.search(name):
                return name
    return firsts[0] if firsts and not quant else None


def parts_of(name: str, files: Collection[str]) -> list[str]:
    """Return the names of all parts of a model that a repository holds, or the one name.

    A whole model may have the name of a part: what it is, its header says.
    """
    match = SPLIT.search(name)
    if not match:
        return [name]
    stem, count = name[: match.start()], match[2]
    of_same = re.compile(rf"{re.escape(stem)}-\d{{5}}-of-{count}\.gguf", re.IGNORECASE)
    return sorted(one for one in files if of_same.fullmatch(one))


def hub_model(
    reference: str,
    file: str | None = None,
    *,
    offline: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Return the path of a model from Hugging Face, fetching it first if it isn't in the cache.

    Args:
        reference: ``user/repo[:quant]``.
        file: The one to take; without it the quantisation decides.
        offline: Take only what the cache holds.
        environment: Where the cache is looked up.

    Raises:
        UsageError: There is no such repository or file.
        LlamactlError: huggingface_hub isn't installed, or there is no connection.
    """
    repository, quant = parse_reference(reference)
    hub = _library()
    cache = hub_cache(environment)
    files = _cached_files(cache, repository) if offline else _remote_files(hub, repository)
    name = choose_file(files, quant) if file is None else file if file in files else None
    if name is None:
        where = "in the cache" if offline else "in the repository"
        kinds = ", ".join(sorted(files)) or "nothing"
        raise UsageError(
            f"no GGUF for -hf {reference!r} {where}; there is: {kinds}", "Name a quantisation it has."
        )
    paths = [_fetch(hub, repository, part, cache, offline) for part in parts_of(name, files)]
    return paths[0]


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise LlamactlError("-hf needs the package huggingface_hub", install("huggingface_hub")) from error
    # It warns of each attempt; what went wrong in the end is told once, by us.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return huggingface_hub


def _cached_files(cache: Path, repository: str) -> set[str]:
    snapshots = cache / f"models--{repository.replace('/', '--')}" / "snapshots"
    return {
        str(path.relative_to(snapshot))
        for snapshot in (snapshots.iterdir() if snapshots.is_dir() else ())
        for path in snapshot.rglob("*.gguf")
    }


def _remote_files(hub: Any, repository: str) -> set[str]:
    try:
        return set(hub.HfApi().list_repo_files(repository))
    except Exception as error:
        raise _hub_error(hub, repository, error) from error


def _fetch(hub: Any, repository: str, name: str, cache: Path, offline: bool) -> Path:
    try:
        return Path(hub.hf_hub_download(repository, name, cache_dir=cache, local_files_only=offline))
    except Exception as error:
        raise _hub_error(hub, f"{repository}/{name}", error) from error


def _hub_error(hub: Any, what: str, error: Exception) -> LlamactlError:
    errors = hub.errors
    if isinstance(error, errors.LocalEntryNotFoundError) and not isinstance(error, errors.EntryNotFoundError):
        return LlamactlError(f"{what} isn't in the cache", "Run once without --offline.")
    if isinstance(error, (errors.GatedRepoError,)):
        return LlamactlError(
            f"{what} asks for an agreement first", "Accept it on its page, then set HF_TOKEN."
        )
    if isinstance(error, (errors.RepositoryNotFoundError, errors.EntryNotFoundError)):
        return UsageError(
            f"{what} isn't on Hugging Face, or not for you", "Check the name; set HF_TOKEN if it is private."
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return LlamactlError(
            f"can't write {what} to the cache: {error.strerror}", "Set HF_HUB_CACHE to another disk."
        )
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return LlamactlError(
        f"can't fetch {what}: {first}", "Check the network, or pass --offline for what is cached."
    )
