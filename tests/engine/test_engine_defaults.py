"""What nobody asked for is as in llama.cpp's programs: every field of every struct that goes into the engine."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from llamactl.bench.bodies.body import context_parameters
from llamactl.bench.plan import Setup
from llamactl.bench.session import model_parameters
from llamactl.engine import ContextParameters, ModelParameters
from llamactl.engine.native import ffi, lib

CPU_BUDGET = {"n_threads", "n_threads_batch"}
"""Ours: the cores that this process may use."""
OWN_NAMES = {
    "type_k", "type_v", "flash_attn_type", "pooling_type", "rope_scaling_type", "attention_type", "split_mode",
    "load_mode", "lazy_mode", "devices", "tensor_split", "kv_overrides", "tensor_buft_overrides",
}  # fmt: skip
NOT_OURS = {
    "ctx_type", "defrag_thold", "abort_callback", "abort_callback_data", "n_samplers", "progress_callback",
    "progress_callback_user_data",
}  # fmt: skip
"""Callbacks, what is deprecated, and what only other programs set."""


def fields(name: str) -> list[str]:
    """Return the names of a struct's fields."""
    return [field for field, _ in ffi.typeof(f"struct {name}").fields]


def same(name: str, ours: Any, theirs: Any, but: set[str]) -> None:
    """Compare all fields of two structs."""
    differ = [
        (field, getattr(ours, field), getattr(theirs, field))
        for field in fields(name)
        if field not in but and getattr(ours, field) != getattr(theirs, field)
    ]
    assert differ == []


def test_a_context_is_as_llama_completion_makes_it() -> None:
    ours = ContextParameters().native()
    same("llama_context_params", ours, lib.llamactl_common_context_params(), CPU_BUDGET)


def test_a_model_is_loaded_as_llama_completion_does() -> None:
    ours, theirs = ModelParameters().native(), lib.llamactl_common_model_params()
    same("llama_model_params", ours, theirs, {"tensor_split"})
    assert all(share == 0 for share in ours.tensor_split[0 : lib.llama_max_devices()])


def test_a_benchmark_is_as_llama_bench_makes_it() -> None:
    """llama-bench.cpp: the C interface's defaults, with swa_full off; no_perf has no effect on what it measures."""
    theirs = lib.llama_context_default_params()
    theirs.swa_full = False
    theirs.n_ctx = 640
    ours = context_parameters(Setup(""), 640).native()
    same("llama_context_params", ours, theirs, CPU_BUDGET | {"no_perf"})
    model = model_parameters(Setup("")).native()
    same("llama_model_params", model, lib.llama_model_default_params(), {"tensor_split"})


@pytest.mark.parametrize(
    ("ours", "name"), [(ContextParameters, "llama_context_params"), (ModelParameters, "llama_model_params")]
)
def test_every_field_can_be_asked_for(ours: Any, name: str) -> None:
    have = {field.name for field in dataclasses.fields(ours)}
    assert set(fields(name)) - OWN_NAMES - NOT_OURS <= have
