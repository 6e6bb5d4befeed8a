"""From what the user named to a model file."""

from __future__ import annotations

import stat
from pathlib import Path

from llamactl.errors import UsageError


def resolve_model(
    model: str | None,
    reference: str | None,
    file: str | None = None,
    *,
    offline: bool = False,
    quiet: bool = False,
) -> Path:
    """Return the model file to load.

    Args:
        model: A path (``-m``).
        reference: ``user/repo[:quant]`` (``-hf``).
        file: Of that repository (``-hff``).
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

        return hub_model(reference, file, offline=offline)
    if file:
        raise UsageError(f"-hff {file!r} needs the repository it is in", "Give -hf USER/REPO.")
    from llamactl.models.default import default_model

    return default_model(offline=offline, quiet=quiet)


def check_file(path: Path) -> Path:
    """Return the path if it is a file with something in it; what it holds is checked by its header.

    Raises:
        UsageError: It isn't.
    """
    if not _first_bytes(path):
        raise UsageError(f"{str(path)!r} is empty", "Fetch it again.")
    return path


def _first_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{str(path)!r} is a directory", "Name a GGUF file in it.")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{str(path)!r} isn't a regular file", "Name a GGUF file.")
        with path.open("rb") as file:
            return file.read(1)
    except FileNotFoundError:
        raise UsageError(f"no model file {str(path)!r}", "Check the path.") from None
    except OSError as error:
        raise UsageError(f"can't read {str(path)!r}: {error.strerror}", "Check its permissions.") from error
