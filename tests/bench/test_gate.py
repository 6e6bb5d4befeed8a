from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llamactl.bench import store
from llamactl.bench.compare import compare
from llamactl.bench.gate import check_baseline, judge, parse
from llamactl.bench.report import BenchReport, Memory
from llamactl.errors import LlamactlError, UsageError
from llamactl.render.bench.files import json_document
from llamactl.snapshot.gpu.account import DeviceAccount

pytest.importorskip("scipy", reason="comparing needs SciPy")
Make = Callable[..., BenchReport]
TESTS = ["tg16", "pp64 @ d32"]
STEADY, SLOW = [100 + i for i in range(12)], [130 + i for i in range(12)]


@pytest.mark.parametrize(
    ("text", "test", "counter", "operator", "limit"),
    [
        ("tg16 < 0.97", "tg16", None, "<", 0.97),
        ("tg16<.97", "tg16", None, "<", 0.97),
        ("pp64@d32 >= 1", "pp64 @ d32", None, ">=", 1),
        ("pp64 @ d32 >= 1", "pp64 @ d32", None, ">=", 1),
        ("minor_faults > 1.10", None, "minor_faults", ">", 1.1),
        ("tg16.crossings > 1", "tg16", "crossings", ">", 1),
    ],
)
def test_conditions_are_read(text: str, test: str, counter: str, operator: str, limit: float) -> None:
    (found,) = parse([text], TESTS)
    assert (found.test, found.counter, found.operator, found.limit) == (test, counter, operator, limit)


@pytest.mark.parametrize(
    "text",
    [
        "", "tg16", "tg16 <", "< 0.9", "tg16 == 1", "tg16 < -1", "tg16 < 0", "tg16 < 1e9", "tg16 < nan",
        "tg16 < 1 or 1", "tg99 < 0.9", "tg16.nothing > 1", "nothing > 1", "__import__('os') < 1", "tg16 < 0.9 < 1",
        "x" * 500 + " < 1",
    ],
)  # fmt: skip
def test_what_cant_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse([text], TESTS)


def verdicts(base: BenchReport, new: BenchReport, text: str) -> list[bool]:
    names = [result.test.name for result in new.results]
    return [one.failed for one in judge(parse([text], names), compare(base, new))]


def test_a_slower_test_fails_and_an_equal_one_passes(report_of: Make) -> None:
    base = report_of({"tg16": STEADY})
    assert verdicts(base, report_of({"tg16": SLOW}), "tg16 < 0.97") == [True]
    assert verdicts(base, report_of({"tg16": STEADY}), "tg16 < 0.97") == [False]
    assert verdicts(report_of({"tg16": SLOW}), base, "tg16 > 1.1") == [True]


def test_a_counter_is_compared_plainly(report_of: Make) -> None:
    base = report_of({"tg16": STEADY}, counters={"minor_faults": 100})
    more = report_of({"tg16": STEADY}, counters={"minor_faults": 112})
    assert verdicts(base, more, "minor_faults > 1.10") == [True]
    assert verdicts(base, base, "minor_faults > 1.10") == [False]


def test_something_out_of_nothing_is_more(report_of: Make) -> None:
    none, some = (report_of({"tg16": STEADY}, counters={"minor_faults": n}) for n in (0, 1))
    assert verdicts(none, some, "minor_faults > 9") == [True]
    assert verdicts(none, none, "minor_faults > 1") == [False]


def test_a_counter_that_nobody_counted_is_no_green_gate(report_of: Make) -> None:
    base = report_of({"tg16": STEADY}, counters={"instructions": None})
    with pytest.raises(LlamactlError, match="wasn't counted"):
        verdicts(base, base, "instructions > 1.01")


def test_cpu_time_is_decided_by_statistics(report_of: Make) -> None:
    base = report_of({"tg16": STEADY}, counters={"cpu_ns": 100})
    assert verdicts(base, report_of({"tg16": STEADY}, counters={"cpu_ns": 105}), "cpu_ns > 1.02") == [True]
    assert verdicts(base, report_of({"tg16": STEADY}, counters={"cpu_ns": 101}), "cpu_ns > 1.02") == [False]
    with pytest.raises(LlamactlError):
        verdicts(base, report_of({"tg16": STEADY}, counters={"cpu_ns": None}), "cpu_ns > 1.02")


def test_too_few_samples_decide_nothing(report_of: Make) -> None:
    few = report_of({"tg16": [100, 101]})
    with pytest.raises(LlamactlError, match="can't decide"):
        verdicts(few, few, "tg16 < 0.97")


def test_no_test_in_common_is_an_error(report_of: Make) -> None:
    with pytest.raises(LlamactlError, match="no test in common"):
        compare(report_of({"tg16": STEADY}), report_of({"pp64": STEADY}))


def test_a_test_that_base_lacks_is_an_error(report_of: Make) -> None:
    base, new = report_of({"tg16": STEADY}), report_of({"tg16": STEADY, "pp64": STEADY})
    with pytest.raises(LlamactlError, match="no such test"):
        verdicts(base, new, "pp64 < 0.9")


@pytest.mark.parametrize(
    ("what", "change"),
    [("model", {"fingerprint": "1" * 64}), ("engine", {"commit": "def"}), ("machine", {"cpu": "other"})],
)
def test_a_baseline_of_something_else_is_refused_unless_allowed(
    what: str, change: dict[str, str], report_of: Make
) -> None:
    base, new = report_of({"tg16": STEADY}, **change), report_of({"tg16": STEADY})
    with pytest.raises(LlamactlError, match=f"another {what}"):
        check_baseline(base, new)
    check_baseline(base, new, [what])
    check_baseline(new, new)


def test_an_interrupted_baseline_is_refused(report_of: Make) -> None:
    with pytest.raises(LlamactlError, match="interrupted"):
        check_baseline(report_of({"tg16": STEADY}, complete=False), report_of({"tg16": STEADY}))


def test_a_report_survives_being_stored(tmp_path: Path, report_of: Make) -> None:
    report = report_of({"tg16": STEADY, "pp64": SLOW}, counters={"minor_faults": 3, "cycles": None})
    memory = Memory(1, 2, 3, 4, 5, devices=(DeviceAccount("CUDA0", None, 1, 2, 3, 6, 9, "nvml", 3, None),))
    first, second = report.results
    report = replace(
        report,
        results=(replace(first, memory=memory), replace(second, memory=Memory(None, None, None, None, None))),
    )
    (tmp_path / "r.json").write_text(json_document(report))
    assert store.load(str(tmp_path / "r.json")) == report


def test_a_report_without_what_later_versions_add_is_read(tmp_path: Path, report_of: Make) -> None:
    report = report_of({"tg16": STEADY})
    report = replace(report, results=(replace(report.results[0], memory=Memory(1, 2, 3, 4, 5)),))
    document = json.loads(json_document(report))
    del document["results"][0]["memory"]["devices"]
    (tmp_path / "r.json").write_text(json.dumps(document))
    assert store.load(str(tmp_path / "r.json")) == report


@pytest.mark.parametrize("devices", [{}, [5], [{"device": "CUDA0"}], None])
def test_damaged_devices_are_refused(devices: object, tmp_path: Path, report_of: Make) -> None:
    report = report_of({"tg16": STEADY})
    report = replace(report, results=(replace(report.results[0], memory=Memory(1, 2, 3, 4, 5)),))
    document = json.loads(json_document(report))
    document["results"][0]["memory"]["devices"] = devices
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="damaged"):
        store.load(str(tmp_path / "r.json"))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "something"}, {"schema_version": 0}, {"schema_version": 2}, {"results": 5}, {"results": [{}]},
        {"environment": {}}, {"models": None},
    ],
)  # fmt: skip
def test_a_damaged_document_is_refused(change: dict[str, object], tmp_path: Path, report_of: Make) -> None:
    document = json.loads(json_document(report_of({"tg16": STEADY})))
    (tmp_path / "r.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(UsageError):
        store.load(str(tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("complete",), "false"), (("results", 0, "memory"), 5), (("results", 0, "crossings"), {"llama_decode": "2"}),
        (("results", 0, "crossings_tokens"), True), (("results", 0, "samples"), None),
        (("results", 0, "samples", 0, "counters"), {"minor_faults": "3"}), (("models", 0, "size_bytes"), "10"),
        (("environment", "build_commit"), None), (("results", 0, "setup", "n_threads"), "1"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(
    path: tuple[str | int, ...], value: object, tmp_path: Path, report_of: Make
) -> None:
    document: Any = json.loads(json_document(report_of({"tg16": STEADY})))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="damaged"):
        store.load(str(tmp_path / "r.json"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(number: str, tmp_path: Path, report_of: Make) -> None:
    text = json_document(report_of({"tg16": STEADY}, counters={"minor_faults": 4711}))
    (tmp_path / "r.json").write_text(text.replace("4711", number))
    with pytest.raises(UsageError, match="isn't JSON"):
        store.load(str(tmp_path / "r.json"))


def test_a_baseline_without_samples_is_refused(report_of: Make) -> None:
    with pytest.raises(LlamactlError, match="no samples"):
        compare(report_of({"tg16": []}), report_of({"tg16": STEADY}))


def test_other_settings_are_refused_unless_allowed(report_of: Make) -> None:
    base = report_of({"tg16": STEADY})
    (result,) = base.results
    new = replace(base, results=(replace(result, setup=replace(result.setup, n_threads=9)),))
    with pytest.raises(LlamactlError, match="n_threads 4, this run 9"):
        check_baseline(base, new)
    check_baseline(base, new, ["settings"])


def test_the_projects_own_baseline_can_be_read() -> None:
    report = store.load(str(Path(__file__).parents[2] / "benchmarks" / "baseline.json"))
    assert report.complete
    assert [result.test.name for result in report.results] == ["pp32", "tg8"]


@pytest.mark.parametrize("ns", [0, -1, None, "5", 1.5])
def test_a_time_that_cant_be_is_refused(ns: object, tmp_path: Path, report_of: Make) -> None:
    document = json.loads(json_document(report_of({"tg16": STEADY})))
    document["results"][0]["samples"][0]["ns"] = ns
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="damaged"):
        store.load(str(tmp_path / "r.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"SQLite format 3\x00 and no more"])
def test_a_file_that_is_no_report_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(UsageError):
        store.load(str(tmp_path / "r"))
