"""A benchmark as llama-bench's Markdown table, and what else was counted below it."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.bench.compare import by_name, counter_value, workers_per_token
from llamactl.bench.plan import Setup
from llamactl.bench.report import BenchReport, Result
from llamactl.render.bench.row import model_of, times
from llamactl.render.safe import safe_text
from llamactl.render.units import seconds, size

SHORT = {"n_threads": "threads", "n_gpu_layers": "ngl", "no_kv_offload": "nkvo", "flash_attn": "fa",
         "load_mode": "lm",         "split_mode": "sm", "embeddings": "embd"}  # fmt: skip
ALWAYS = ("n_threads",)


def tabulated(rows: Sequence[Sequence[object]], headers: Sequence[str], *, right: int = 1) -> str:
    """Return a Markdown table; the last ``right`` columns are aligned to the right."""
    from tabulate import tabulate

    align = ["left"] * (len(headers) - right) + ["right"] * right
    shown = [[cell(value) for value in row] for row in rows]
    return tabulate(shown, headers=headers, tablefmt="github", colalign=align, disable_numparse=True)


def cell(value: object) -> str:
    """Return a value for a Markdown cell: nothing in it can end the cell or the line."""
    return safe_text(str(value)).replace("|", "\\|")


def markdown(report: BenchReport) -> str:
    """Return llama-bench's table: model, size, params, backend, settings that vary, test, t/s."""
    settings = _shown_settings(report)
    headers = [
        "model",
        "size",
        "params",
        "backend",
        *(SHORT.get(name, name) for name in settings),
        "test",
        "t/s",
    ]
    rows = [_row(report, result, settings) for result in report.results]
    right = len(settings) + 2
    return f"{tabulated(rows, headers, right=right)}\n\nbuild: {cell(report.environment.build_commit)}\n"


def _shown_settings(report: BenchReport) -> list[str]:
    default = Setup("")
    names = [name for name in Setup.__dataclass_fields__ if name != "model_filename"]
    return [
        name
        for name in names
        if name in ALWAYS or any(getattr(r.setup, name) != getattr(default, name) for r in report.results)
    ]


def _row(report: BenchReport, result: Result, settings: Sequence[str]) -> list[object]:
    model = model_of(report, result)
    params = f"{model.n_params / 1e6:.2f} M" if model.n_params < 1e9 else f"{model.n_params / 1e9:.2f} B"
    bytes_of = model.size_bytes / 2**20
    shown = f"{bytes_of:.2f} MiB" if bytes_of < 1024 else f"{bytes_of / 1024:.2f} GiB"
    values = [getattr(result.setup, name) for name in settings]
    return [model.type, shown, params, report.environment.backends, *values, result.test.name, figure(result)]


def figure(result: Result) -> str:
    """Return ``110.12 ± 3.40`` tokens per second, or a time for tests that are one."""
    found = times(result)
    if found["avg_ts"] is None:
        return f"{found['avg_ns'] / 1e6:.2f} ± {found['stddev_ns'] / 1e6:.2f} ms"
    return f"{found['avg_ts']:.2f} ± {found['stddev_ts']:.2f}"


DETAILS: tuple[tuple[str, str], ...] = (
    ("cpu_ns", "CPU"), ("user_ns", "user"), ("system_ns", "system"), ("run_delay_ns", "waited"),
    ("instructions", "instructions"), ("minor_faults", "faults"),
    ("major_faults", "major"), ("voluntary_switches", "switches"), ("involuntary_switches", "invol."),
    ("system_calls", "syscalls"), ("disk_read_bytes", "disk"), ("crossings", "calls/tok"), ("python_ns", "python"),
    ("private_bytes", "private"), ("kv_bytes", "KV"), ("compute_bytes", "compute"), ("gpu_bytes", "GPU"),
)  # fmt: skip


def details(report: BenchReport) -> str:
    """Return the counters of one repetition, the median of all; columns that nothing is known of are left out."""
    table = [[counter_value(result, name) for name, _ in DETAILS] for result in report.results]
    known = [i for i in range(len(DETAILS)) if any(row[i] is not None for row in table)]
    headers = ["per repetition", *(DETAILS[i][1] for i in known)]
    rows: list[list[object]] = [
        [name, *(shown_counter(DETAILS[i][0], row[i]) for i in known)]
        for name, row in zip(by_name(report), table, strict=True)
    ]
    return tabulated(rows, headers, right=len(known)) + "\n"


def workers(report: BenchReport) -> str:
    """Return what a token, or a load, costs in traffic with each worker; empty without workers."""
    rows: list[list[object]] = [
        [
            name,
            worker,
            size(round(values["sent_bytes"])),
            size(round(values["received_bytes"])),
            f"{values['round_trips']:.2f}",
            seconds(round(values["waited_ns"])),
        ]
        for name, result in by_name(report).items()
        for worker, values in workers_per_token(result).items()
    ]
    headers = ["per token or load", "worker", "sent", "received", "round trips", "waiting"]
    return "\n" + tabulated(rows, headers, right=4) + "\n" if rows else ""


def shown_counter(name: str, value: float | None) -> str:
    """Return a counter with its unit; ``-`` where it is unknown."""
    if value is None:
        return "–"
    if name.endswith("_ns"):
        return seconds(round(value))
    if name.endswith("_bytes"):
        return size(round(value))
    return f"{value:.2f}" if name == "crossings" else f"{value:.0f}"


def missing(report: BenchReport) -> str:
    """Return why counters are missing, a line each."""
    shown = {name: why for name, why in report.environment.missing.items() if not name.startswith("rpc_")}
    return "".join(f"not counted: {name}: {reason}\n" for name, reason in shown.items())
