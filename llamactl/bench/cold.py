"""Whether a load that is called cold was: what the kernel keeps in the page cache makes it a warm one."""

from __future__ import annotations

from pathlib import Path

from llamactl.bench.plan import Case
from llamactl.bench.report import Sample
from llamactl.snapshot.gguf.splits import files_of

KEPT_SHARE = 0.01
"""A few pages stay: the header was read before. More are weights."""


class WarmCacheError(Exception):
    """The model was in the page cache; why its load isn't measured, as text."""


def check_cold(case: Case, sample: Sample) -> None:
    """Refuse the figure of a cold load that wasn't one.

    Raises:
        WarmCacheError: More of the model was in the page cache than may be.
    """
    kept = sample.cache_before_bytes
    if case.test.kind != "load" or case.test.cache != "cold" or kept is None:
        return
    size = sum(Path(part).stat().st_size for part in files_of(case.setup.model_filename))
    if kept > size * KEPT_SHARE:
        raise WarmCacheError(
            f"{case.test.name} isn't measured: {kept / size:.0%} of the model stay in the page cache, since another "
            "process uses the file or it lies in memory (tmpfs); end that process, or copy the file to a disk"
        )
