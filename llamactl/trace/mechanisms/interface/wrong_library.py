"""Is the llama.cpp that was loaded another one than the binding brought along?

The Python code that calls lies in a package; a package that has a libllama of its own was tested with that one.
``LD_LIBRARY_PATH``, a setting of the binding, or a library of the system may have put another one in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llamactl.process.answering import answers
from llamactl.trace.mechanisms.interface.exchange import Exchange, Place

PATTERNS = ("libllama*.so*", "lib/libllama*.so*", "lib64/libllama*.so*", ".libs/libllama*.so*")
PLACES = 64
"""More places than this aren't looked at: those of one package say the same."""


def wrong_libraries(exchange: Exchange) -> Iterator[tuple[str, str, Place]]:
    """Yield (loaded library, the package's own, a place that calls) for each package with such a mismatch."""
    calls = exchange.calls
    pairs = np.unique(
        np.stack([calls["nr"].astype(np.int64), calls["text2"].astype(np.int64)], axis=1), axis=0
    )
    seen: set[tuple[str, Path]] = set()
    for nr, reference in pairs[:: max(len(pairs) // PLACES, 1)].tolist():
        place, loaded = exchange.place(reference), exchange.functions[nr].library
        folder = Path(place[0]).parent if place is not None else None
        name = Path(loaded).name
        if folder is None or (loaded, folder) in seen or not name.startswith("libllama"):
            continue
        seen.add((loaded, folder))
        own = _own(folder)
        if place is not None and own and not any(_is_same(Path(loaded), one) for one in own):
            yield loaded, str(own[0]), place


def _own(folder: Path) -> list[Path]:
    """Return the libraries that lie in or right below a package's folder."""
    if not answers(folder) or not (folder / "__init__.py").exists():
        return []  # A script beside a library isn't a package.
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return answers(one) and answers(other) and one.samefile(other)
    except OSError:
        return one == other
