"""Samples and sweeps as a picture (matplotlib, an extra)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llamactl.bench.report import BenchReport, Result
from llamactl.errors import LlamactlError, UsageError
from llamactl.render.bench_row import samples_ts
from llamactl.render.safe import safe_text

SUFFIXES = (".svg", ".png", ".pdf")
SWEPT = ("n_threads", "n_batch", "n_ubatch", "n_gpu_layers")


def check(path: str) -> None:
    """Refuse a file that can't become a plot, before anything is measured.

    Raises:
        UsageError: Its suffix is unknown.
        LlamactlError: matplotlib isn't installed.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UsageError(f"--plot {path!r} has an unknown suffix", f"Use one of: {', '.join(SUFFIXES)}.")
    _matplotlib()


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise LlamactlError("--plot needs matplotlib", "Install it: pip install 'llamactl[plot]'.") from None
    # No display is needed, and none is looked for.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def plot(report: BenchReport, path: str) -> None:
    """Draw every repetition of every test; of what was swept also the speed over it."""
    plt = _matplotlib()
    sweeps = [name for name in (*SWEPT, "n_depth") if len({_swept(one, name) for one in report.results}) > 1]
    figure, axes = plt.subplots(1, 1 + len(sweeps), figsize=(6 * (1 + len(sweeps)), 4.5), squeeze=False)
    _samples(axes[0][0], report)
    for axis, name in zip(axes[0][1:], sweeps, strict=True):
        _sweep(axis, report, name)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _swept(result: Result, name: str) -> int:
    return result.test.n_depth if name == "n_depth" else int(getattr(result.setup, name))


def _values(result: Result) -> tuple[list[float], str]:
    rates = samples_ts(result)
    return (rates, "tokens/s") if rates else ([sample.ns / 1e6 for sample in result.samples], "ms")


def _samples(axis: Any, report: BenchReport) -> None:
    for index, result in enumerate(report.results):
        values, _ = _values(result)
        axis.plot([index] * len(values), values, "o", alpha=0.5)
    labels = [f"{safe_text(result.test.name)}\n({_values(result)[1]})" for result in report.results]
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_ylim(bottom=0)
    axis.set_title("repetitions")


def _sweep(axis: Any, report: BenchReport, name: str) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in report.results:
        values, unit = _values(result)
        rest = [f"{one}={_swept(result, one)}" for one in SWEPT if one != name and _varies(report, one)]
        label = " ".join([result.test.name.partition(" @")[0], *rest, f"({unit})"])
        lines.setdefault(safe_text(label), []).append((_swept(result, name), sum(values) / len(values)))
    for label, points in lines.items():
        axis.plot(*zip(*sorted(points), strict=True), "o-", label=label)
    axis.set_xlabel(name)
    axis.set_ylim(bottom=0)
    axis.legend()


def _varies(report: BenchReport, name: str) -> bool:
    return len({getattr(result.setup, name) for result in report.results}) > 1
