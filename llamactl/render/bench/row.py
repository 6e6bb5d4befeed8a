"""One result as llama-bench's row: its names, its values, in its order."""

from __future__ import annotations

import statistics
from typing import Any

from llamactl.bench.report import BenchReport, Environment, ModelFacts, Result

SECOND_NS = 1_000_000_000
FLASH = {"auto": -1, "off": 0, "on": 1}
TEXT, INTEGER, REAL = "TEXT", "INTEGER", "REAL"

COLUMNS: dict[str, str] = {
    "build_commit": TEXT, "build_number": INTEGER, "cpu_info": TEXT, "gpu_info": TEXT, "backends": TEXT,
    "model_filename": TEXT, "model_type": TEXT, "model_size": INTEGER, "model_n_params": INTEGER,
    "n_batch": INTEGER, "n_ubatch": INTEGER, "n_threads": INTEGER, "cpu_mask": TEXT, "cpu_strict": INTEGER,
    "poll": INTEGER, "type_k": TEXT, "type_v": TEXT, "n_gpu_layers": INTEGER, "n_cpu_moe": INTEGER,
    "split_mode": TEXT, "main_gpu": INTEGER, "no_kv_offload": INTEGER, "flash_attn": INTEGER, "devices": TEXT,
    "tensor_split": TEXT, "tensor_buft_overrides": TEXT, "load_mode": TEXT, "lazy_mode": TEXT,
    "embeddings": INTEGER, "no_op_offload": INTEGER, "no_host": INTEGER, "repack": INTEGER,
    "fit_target": INTEGER, "fit_min_ctx": INTEGER, "n_prompt": INTEGER, "n_gen": INTEGER, "n_depth": INTEGER,
    "test_time": TEXT, "avg_ns": INTEGER, "stddev_ns": INTEGER, "avg_ts": REAL, "stddev_ts": REAL,
}  # fmt: skip
"""llama-bench's columns with its SQL types."""

NOT_OFFERED: dict[str, Any] = {
    "build_number": 0, "cpu_strict": False, "poll": 50, "n_cpu_moe": 0, "devices": "auto",
    "tensor_split": "0.00", "tensor_buft_overrides": "none", "lazy_mode": "auto", "no_op_offload": 0,
    "no_host": False, "repack": True, "fit_target": 0, "fit_min_ctx": 0,
}  # fmt: skip
"""Settings that llama-bench has and bench hasn't: llama-bench's defaults, which are what was in force."""


def row(report: BenchReport, result: Result) -> dict[str, Any]:
    """Return llama-bench's fields of one result, in its order."""
    setup = result.setup
    values = {
        **NOT_OFFERED,
        **_environment(report.environment),
        **_model(model_of(report, result)),
        **{name: getattr(setup, name) for name in COLUMNS if hasattr(setup, name)},
        "flash_attn": FLASH[setup.flash_attn],
        "n_prompt": result.test.n_prompt,
        "n_gen": result.test.n_gen,
        "n_depth": result.test.n_depth,
        "test_time": result.test_time,
        **times(result),
    }
    return {name: values[name] for name in COLUMNS}


def _environment(environment: Environment) -> dict[str, Any]:
    return {name: getattr(environment, name) for name in ("build_commit", "cpu_info", "gpu_info", "backends")}


def model_of(report: BenchReport, result: Result) -> ModelFacts:
    """Return the facts of a result's model."""
    return next(model for model in report.models if model.filename == result.setup.model_filename)


def _model(model: ModelFacts) -> dict[str, Any]:
    return {"model_type": model.type, "model_size": model.size_bytes, "model_n_params": model.n_params}


def times(result: Result) -> dict[str, Any]:
    """Return mean and standard deviation, of times and of tokens per second; the latter ``None`` without tokens."""
    ns = [sample.ns for sample in result.samples]
    rates = samples_ts(result)
    return {
        "avg_ns": round(statistics.fmean(ns)),
        "stddev_ns": round(statistics.stdev(ns)) if len(ns) > 1 else 0,
        "avg_ts": statistics.fmean(rates) if rates else None,
        "stddev_ts": (statistics.stdev(rates) if len(rates) > 1 else 0.0) if rates else None,
    }


def samples_ts(result: Result) -> list[float]:
    """Return tokens per second of each repetition; empty for a test without a rate."""
    if result.test.kind in {"load", "ttft"}:
        return []
    return [sample.tokens * SECOND_NS / sample.ns for sample in result.samples]
