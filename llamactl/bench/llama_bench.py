"""Results that llama-bench wrote (``-o json``, ``jsonl``, ``csv``, or ``sql`` in a database), as a report of ours."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llamactl.bench.plan import BenchTest, Setup
from llamactl.bench.report import BenchReport, Environment, ModelFacts, Result, Sample
from llamactl.errors import UsageError
from llamactl.json_file import parse_json

TABLE = "llama_bench"
MOST_ROWS = 100_000
HEAD = b"build_commit,build_number"
"""How its CSV begins."""
MEAN_ALONE = "llama-bench's CSV and SQL hold the mean alone, without its repetitions: there is no interval"
UNKNOWN = "llama-bench doesn't count it"
IDENTIFYING = (
    "model_filename", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "type_k", "type_v", "n_gpu_layers", "split_mode",
    "main_gpu", "no_kv_offload", "flash_attn", "load_mode", "embeddings", "n_prompt", "n_gen", "n_depth",
)  # fmt: skip
"""Fields that tell tests of a database apart; of each the last result counts."""
FLASH = {"-1": "auto", "0": "off", "1": "on"}


def is_row(value: Any) -> bool:
    """Tell whether a value of JSON is one of llama-bench's results."""
    return isinstance(value, dict) and "avg_ns" in value and "build_commit" in value and "schema" not in value


def rows_of_text(data: bytes) -> list[Mapping[str, Any]] | None:
    """Return the results of a text: a JSON array, a JSON object a line, or CSV; ``None`` if it is none of these.

    Raises:
        ValueError: It begins so and can't be read.
    """
    if data.startswith(HEAD):
        table: list[Mapping[str, Any]] = list(csv.DictReader(io.StringIO(data.decode("utf-8"))))
        return table[:MOST_ROWS]
    if data.lstrip().startswith(b"["):
        value = parse_json(data)
        return value if value and all(map(is_row, value)) else None
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) > MOST_ROWS or not lines or not lines[0].startswith(b"{"):
        return None
    try:
        first = parse_json(lines[0])
    except ValueError:
        return None
    return [parse_json(line) for line in lines] if is_row(first) else None


def report_of(rows: Iterable[Mapping[str, Any]], source: str) -> BenchReport:
    """Return the results as a report.

    Args:
        rows: Each with llama-bench's fields, as JSON or as text.
        source: Their file, for messages.

    Raises:
        UsageError: A field is missing or isn't what it should be.
    """
    try:
        found = list(rows)
        results = tuple(map(_result, found))
        models = {str(row["model_filename"]): _model(row) for row in found}
        if not found:
            raise ValueError("there are no results")
        warnings = () if all("samples_ns" in row for row in found) else (MEAN_ALONE,)
        return BenchReport(
            environment=_environment(found[0]),
            models=tuple(models.values()),
            results=results,
            complete=True,
            planned=tuple(result.test.name for result in results),
            warnings=warnings,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{source!r} is damaged ({type(error).__name__}: {error})", "Have llama-bench write it again."
        ) from None


def _result(row: Mapping[str, Any]) -> Result:
    test = _test(_int(row["n_prompt"]), _int(row["n_gen"]), _int(row["n_depth"]))
    return Result(
        setup=_setup(row),
        test=test,
        test_time=str(row["test_time"]),
        samples=tuple(Sample(time, test.n_tokens) for time in _times(row)),
        crossings=None,
        crossings_tokens=0,
        memory=None,
        machine={},
        warnings=() if "samples_ns" in row else (MEAN_ALONE,),
    )


def _times(row: Mapping[str, Any]) -> list[int]:
    given = row["samples_ns"] if "samples_ns" in row else [row["avg_ns"]]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError("samples_ns isn't a list")
    times = [_int(one) for one in given]
    if not times or min(times) <= 0:
        raise ValueError("a time that isn't above 0")
    return times


def _test(n_prompt: int, n_gen: int, n_depth: int) -> BenchTest:
    kind = "pg" if n_prompt and n_gen else "pp" if n_prompt else "tg"
    if min(n_prompt, n_gen, n_depth) < 0 or not (n_prompt or n_gen):
        raise ValueError("a test without tokens")
    return BenchTest(kind, n_prompt=n_prompt, n_gen=n_gen, n_depth=n_depth)


def _setup(row: Mapping[str, Any]) -> Setup:
    flash = str(row["flash_attn"])
    return Setup(
        model_filename=str(row["model_filename"]),
        n_gpu_layers=_int(row["n_gpu_layers"]),
        split_mode=str(row["split_mode"]),
        load_mode=str(row.get("load_mode", "auto")),
        main_gpu=_int(row["main_gpu"]),
        embeddings=_flag(row["embeddings"]),
        n_batch=_int(row["n_batch"]),
        n_ubatch=min(_int(row["n_ubatch"]) or _int(row["n_batch"]), _int(row["n_batch"])),
        type_k=str(row["type_k"]),
        type_v=str(row["type_v"]),
        no_kv_offload=_flag(row["no_kv_offload"]),
        flash_attn=FLASH.get(flash, flash),
        n_threads=_int(row["n_threads"]),
        cpu_mask=str(row["cpu_mask"]),
    )


def _model(row: Mapping[str, Any]) -> ModelFacts:
    size, n_params = _int(row["model_size"]), _int(row["model_n_params"])
    # It says nothing of the file's contents: size and number of weights have to tell models apart.
    return ModelFacts(
        str(row["model_filename"]), str(row["model_type"]), size, n_params, f"{size}-{n_params}"
    )


def _environment(row: Mapping[str, Any]) -> Environment:
    from llamactl.bench.measure.counters import NAMES

    return Environment(
        build_commit=str(row["build_commit"]),
        engine="",
        cpu_info=str(row["cpu_info"]),
        gpu_info=str(row["gpu_info"]),
        backends=str(row["backends"]),
        versions={"llama-bench": f"{row['build_commit']} ({row.get('build_number', 'unknown')})"},
        machine={},
        missing=dict.fromkeys(NAMES, UNKNOWN),
        options={},
    )


def _int(value: Any) -> int:
    number = float(value) if not isinstance(value, bool) else math.nan
    if not number.is_integer() or abs(number) >= 2**63:
        raise ValueError(f"{value!r} isn't a whole number")
    return int(value) if isinstance(value, int) else int(number)


def _flag(value: Any) -> bool:
    if value in (True, False, 0, 1, "0", "1"):
        return value in (True, 1, "1")
    raise ValueError(f"{value!r} is neither 0 nor 1")
