"""From what the user named to a model file."""

from __future__ import annotations

import stat
from pathlib import Path

from llamactl.errors import UsageError
from llamactl.models.hub import parts_of

GGUF_MAGIC = b"GGUF"


def resolve_model(
    model: str | None, reference: str | None, *, offline: bool = False, quiet: bool = False
) -> Path:
    """Return the model file to load.

    Args:
        model: A path (``-m``).
        reference: ``user/repo[:quant]`` (``-hf``).
        offline: Don't connect.
        quiet: Show no progress.

    Raises:
        UsageError: The named file can't be a model.
        LlamactlError: It can't be fetched.
    """
    if model and reference:
        raise UsageError(
            f"two models: -m {model} and -hf {reference}",
            "Give one of them; LLAMA_ARG_MODEL and LLAMA_ARG_HF_REPO count, too.",
        )
    if model:
        return check_file(Path(model))
    if reference:
        from llamactl.models.hub import hub_model

        return hub_model(reference, offline=offline)
    from llamactl.models.default import default_model

    return default_model(offline=offline, quiet=quiet)


def check_file(path: Path) -> Path:
    """Return the path if it begins like a GGUF file and, for a split model, all parts are there.

    Raises:
        UsageError: It doesn't; the message says what it is instead.
    """
    for part in [path.with_name(name) for name in parts_of(path.name)]:
        magic = _first_bytes(part)
        if not magic:
            raise UsageError(f"{str(part)!r} is empty", "Fetch it again.")
        if magic != GGUF_MAGIC:
            raise UsageError(
                f"{str(part)!r} isn't a GGUF file", "llama.cpp loads GGUF; convert the model first."
            )
    return path


def _first_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{str(path)!r} is a directory", "Name a GGUF file in it.")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{str(path)!r} isn't a regular file", "Name a GGUF file.")
        with path.open("rb") as file:
            return file.read(len(GGUF_MAGIC))
    except FileNotFoundError:
        raise UsageError(f"no model file {str(path)!r}", "Check the path.") from None
    except OSError as error:
        raise UsageError(f"can't read {str(path)!r}: {error.strerror}", "Check its permissions.") from error
