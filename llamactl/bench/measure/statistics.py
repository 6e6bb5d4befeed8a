"""How sure is a ratio? SciPy's tests and bootstrap over repetitions; no clock, no engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.remedy import install

RESAMPLES = 2000
SEED = 20_260_101
TAME = 3
"""The median of so many pairs has no long tail any more."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The speed of NEW over that of BASE: below 1 is slower.

    Attributes:
        value: The median ratio.
        low: Lower end of the interval; ``None`` with fewer than two samples.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


def require_scipy() -> None:
    """Raise :class:`LlamactlError` if SciPy isn't installed; before measuring, not after.

    It isn't loaded: what is measured is this process, too.
    """
    if find_spec("scipy") is None:
        raise _missing()


def _missing() -> LlamactlError:
    return LlamactlError("comparing needs SciPy, which isn't installed", install("scipy"))


def _scipy() -> Any:
    try:
        import scipy.stats
    except ImportError:
        raise _missing() from None
    return scipy.stats


def speed_ratio(
    base_ns: Sequence[int],
    new_ns: Sequence[int],
    *,
    paired: bool,
    confidence: float,
    per_process: int = 1,
) -> Ratio:
    """Return the ratio of speeds with its bootstrap interval.

    Args:
        base_ns: Times of the repetitions; of each pair when ``paired``.
        new_ns: The same of NEW.
        paired: Whether sample ``i`` of one was taken next to sample ``i`` of the other.
        confidence: Of the interval, such as 0.99.
        per_process: How many pairs in a row the same two processes made. A process is a little quicker or slower
            for all its life, so its pairs count as one: by their median.

    Raises:
        LlamactlError: SciPy isn't installed, or a side has no samples or times that aren't positive.
    """
    import numpy as np

    base, new = _logs(base_ns, "BASE"), _logs(new_ns, "NEW")
    if paired:
        data: tuple[Any, ...] = (_pairs(base, new, per_process),)
        value = math.exp(float(np.median(data[0])))
    else:
        data = (base, new)
        value = math.exp(float(np.median(base) - np.median(new)))
    if min(len(part) for part in data) < 2:
        return Ratio(value, None, None)
    if all(np.ptp(part) == 0 for part in data):
        return Ratio(value, value, value)
    found = _scipy().bootstrap(
        data,
        np.median if paired else _median_difference,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return Ratio(value, math.exp(found.confidence_interval.low), math.exp(found.confidence_interval.high))


def chance_below(
    base_ns: Sequence[int],
    new_ns: Sequence[int],
    threshold: float,
    *,
    paired: bool,
    per_process: int = 1,
) -> float:
    """Return how likely such samples are if the ratio of speeds isn't below ``threshold`` (a p-value).

    Pairs: Wilcoxon's signed-rank test; of single pairs also the sign test, the better of the two paid for twice
    (Bonferroni): the first sees small shifts under even noise, the second under noise with a long tail, as on a
    busy machine. Medians of several pairs have no such tail. Otherwise the Mann-Whitney U test. Raises as
    :func:`speed_ratio`.
    """
    base, new = _logs(base_ns, "BASE"), _logs(new_ns, "NEW")
    stats = _scipy()
    if paired:
        differences = _pairs(base, new, per_process) - math.log(threshold)
        if not differences.any():
            return 1.0
        ranks = float(stats.wilcoxon(differences, alternative="less").pvalue)
        if per_process >= TAME:
            return ranks
        below, count = int((differences < 0).sum()), int((differences != 0).sum())
        signs = float(stats.binomtest(below, count, alternative="greater").pvalue)
        return min(1.0, 2 * min(ranks, signs))
    return float(stats.mannwhitneyu(-new - math.log(threshold), -base, alternative="less").pvalue)


def chance_above(
    base_ns: Sequence[int],
    new_ns: Sequence[int],
    threshold: float,
    *,
    paired: bool,
    per_process: int = 1,
) -> float:
    """Return how likely such samples are if the ratio of speeds isn't above ``threshold``."""
    return chance_below(new_ns, base_ns, 1 / threshold, paired=paired, per_process=per_process)


def least_chance(n_base: int, n_new: int, *, paired: bool, per_process: int = 1) -> float:
    """Return the smallest p-value that so few samples can ever give."""
    if not paired:
        return 1 / math.comb(n_base + n_new, n_base)
    return 2.0 ** ((per_process < TAME) - -(-n_base // per_process))


def _median_difference(base: Any, new: Any, axis: int = -1) -> Any:
    import numpy as np

    return np.median(base, axis=axis) - np.median(new, axis=axis)


def _logs(times_ns: Sequence[int], side: str) -> Any:
    import numpy as np

    if not times_ns:
        raise LlamactlError(f"{side} has no samples", "Measure it again.")
    if min(times_ns) <= 0:
        raise LlamactlError(
            f"{side} has a time of {min(times_ns)} ns", "The file is damaged: measure it again."
        )
    return np.log(np.asarray(times_ns, dtype=float))


def _pairs(base: Any, new: Any, per_process: int) -> Any:
    """Return how much longer each BASE took, as a logarithm: the median of each process's pairs."""
    if len(base) != len(new):
        raise LlamactlError(
            f"{len(base)} samples can't be paired with {len(new)}", "Measure both in one call."
        )
    import numpy as np

    differences = base - new
    whole = len(differences) - len(differences) % per_process
    medians = np.median(differences[:whole].reshape(-1, per_process), axis=1)
    rest = differences[whole:]
    return np.append(medians, np.median(rest)) if len(rest) else medians
