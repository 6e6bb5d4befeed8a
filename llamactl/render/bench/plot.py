"""Samples and sweeps as a picture (matplotlib, an extra)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llamactl.bench.compare import by_name
from llamactl.bench.report import BenchReport, Result
from llamactl.errors import LlamactlError, UsageError
from llamactl.output.file import OutputFile
from llamactl.remedy import install
from llamactl.render.bench.row import samples_ts
from llamactl.render.safe import safe_text

SUFFIXES = (".svg", ".png", ".pdf")
SWEPT = ("n_threads", "n_batch", "n_ubatch", "n_gpu_layers")
SHORT = {"n_threads": "t", "n_batch": "b", "n_ubatch": "ub", "n_gpu_layers": "ngl", "n_depth": "d"}
"""llama-bench's options."""


def check(path: str) -> None:
    """Refuse a file that can't become a plot, before anything is measured.

    Raises:
        UsageError: Its suffix is unknown.
        LlamactlError: matplotlib isn't installed.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UsageError(f"--plot {path!r} has an unknown suffix", f"Use one of: {', '.join(SUFFIXES)}.")
    if find_spec("matplotlib") is None:  # Not loaded: what is measured is this process, too.
        raise _missing()


def _missing() -> LlamactlError:
    return LlamactlError("--plot needs matplotlib", install("matplotlib"))


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise _missing() from None
    # No display is needed, and none is looked for.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def plot(report: BenchReport, path: str) -> None:
    """Draw every repetition of every test; of what was swept also the speed over it."""
    plt = _matplotlib()
    sweeps = [name for name in (*SWEPT, "n_depth") if _varies(report, name)]
    count = 1 + len(sweeps)
    figure, axes = plt.subplots(1, count, figsize=(6 * count, 4.5), squeeze=False, layout="constrained")
    _samples(axes[0][0], report)
    for axis, name in zip(axes[0][1:], sweeps, strict=True):
        _sweep(axis, report, name)
    file = OutputFile(path, keep_mode=True)
    try:
        with file.stream("wb") as stream:
            figure.savefig(stream, format=Path(path).suffix[1:])
        file.commit()
    finally:
        file.discard()
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
    # llama.cpp's short names: a label must fit under its column.
    names = [_short(name) for name in by_name(report)]
    labels = [f"{name} ({_values(one)[1]})" for name, one in zip(names, report.results, strict=True)]
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize="small")
    axis.set_ylim(bottom=0)
    axis.set_title("repetitions")


def _short(name: str) -> str:
    for long, short in SHORT.items():
        name = name.replace(f"{long}=", f"{short}=")
    return safe_text(name)


def _sweep(axis: Any, report: BenchReport, name: str) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in report.results:
        values, unit = _values(result)
        rest = [
            f"{one}={_swept(result, one)}"
            for one in (*SWEPT, "n_depth")
            if one != name and _varies(report, one)
        ]
        label = " ".join([result.test.name.partition(" @")[0], *rest, f"({unit})"])
        lines.setdefault(_short(label), []).append((_swept(result, name), sum(values) / len(values)))
    for label, points in lines.items():
        axis.plot(*zip(*sorted(points), strict=True), "o-", label=label)
    axis.set_xticks(sorted({_swept(result, name) for result in report.results}))
    axis.set_xlabel(name)
    axis.set_ylim(bottom=0)
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _varies(report: BenchReport, name: str) -> bool:
    return len({_swept(result, name) for result in report.results}) > 1
