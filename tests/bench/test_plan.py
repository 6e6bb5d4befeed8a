from __future__ import annotations

from collections.abc import Sequence

import pytest

from llamactl.bench.plan import BenchTest, Case, Setup, cases, numbers
from llamactl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", [512]),
        ("1,2,4", [1, 2, 4]),
        ("1-4", [1, 2, 3, 4]),
        ("0-1024+256", [0, 256, 512, 768, 1024]),
        ("1-16*2", [1, 2, 4, 8, 16]),
        ("8,1-3", [8, 1, 2, 3]),
        ("3-7*2", [3, 6]),
        ("0", [0]),
    ],
)
def test_numbers_are_llama_benchs_lists_and_ranges(text: str, expected: list[int]) -> None:
    assert numbers(text, "-p") == expected


@pytest.mark.parametrize(
    "text",
    ["", ",", "1,", "x", "4-1", "1-4+0", "0-8*2", "1-8*1", "1-2-3", "1e3", "-1", "1-99999999", "9" * 100],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        numbers(text, "-p")


def test_a_negative_number_is_taken_where_it_makes_sense() -> None:
    assert numbers("-1,20", "-ngl", least=-1) == [-1, 20]


@pytest.mark.parametrize(
    ("test", "name"),
    [
        (BenchTest("pp", n_prompt=512), "pp512"),
        (BenchTest("tg", n_gen=128), "tg128"),
        (BenchTest("pg", n_prompt=512, n_gen=128), "pp512+tg128"),
        (BenchTest("tg", n_gen=128, n_depth=512), "tg128 @ d512"),
        (BenchTest("ttft", n_prompt=64), "ttft64"),
        (BenchTest("load", cache="cold"), "load-cold"),
        (BenchTest("embed", n_prompt=8), "embed8"),
        (BenchTest("parallel", n_gen=16, n_seq=4), "tg16x4"),
        (BenchTest("processes", n_gen=16, n_seq=4), "tg16p4"),
    ],
)
def test_names(test: BenchTest, name: str) -> None:
    assert test.name == name


def test_cases_multiply_settings_depths_and_tests() -> None:
    choices: dict[str, Sequence[object]] = {"model_filename": ["m"], "n_threads": [1, 2], "n_batch": [256]}
    found = cases(choices, [0, 64], [BenchTest("pp", n_prompt=8), BenchTest("load", cache="warm")])
    assert [(case.setup.n_threads, case.test.name) for case in found] == [
        (1, "pp8"), (1, "load-warm"), (1, "pp8 @ d64"), (2, "pp8"), (2, "load-warm"), (2, "pp8 @ d64"),
    ]  # fmt: skip
    assert all(case.setup.n_ubatch == 256 for case in found)


def test_the_same_case_is_measured_once() -> None:
    tests = [BenchTest("pp", n_prompt=8), BenchTest("pp", n_prompt=8)]
    assert cases({"model_filename": ["m"]}, [0], tests) == (Case(Setup("m"), tests[0]),)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to measure"):
        cases({"model_filename": ["m"]}, [0], [])
