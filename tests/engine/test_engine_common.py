"""What comes from llama.cpp's own library ``common``: defaults, escapes, grammars of JSON schemas."""

from __future__ import annotations

import json

import pytest

from llamactl.engine import Model, Sampler, SamplingParameters, process_escapes, schema_to_grammar
from llamactl.engine.native import ffi, lib
from llamactl.errors import UsageError


def test_the_defaults_are_those_of_llama_cpps_programs() -> None:
    """common.h says so: the C interface's own defaults are others, and make a Gemma's cache many times larger."""
    ours, c_defaults = lib.llamactl_common_context_params(), lib.llama_context_default_params()
    assert (ours.swa_full, c_defaults.swa_full) == (False, True)
    assert (ours.n_ctx, ours.n_batch, ours.n_ubatch) == (0, 2048, 512)
    assert lib.llamactl_common_model_params().tensor_split != ffi.NULL


@pytest.mark.parametrize(
    "given, read",
    [
        (r"a\nb\tc\rd", "a\nb\tc\rd"),
        (r"\\n \' \"", "\\n ' \""),
        (r"\x41\x7", r"A\x7"),
        (r"\q \ü é🙂", r"\q \ü é🙂"),
        ("end\\", "end\\"),
        (r"\xff" + "\0z", "\udcff\0z"),
        ("", ""),
    ],
)
def test_escapes(given: str, read: str) -> None:
    assert process_escapes(given) == read


def test_a_schema_becomes_a_grammar_that_the_engine_takes(model_path: str) -> None:
    schema = {"type": "object", "properties": {"ä": {"enum": ["x", 1]}}, "required": ["ä"]}
    grammar = schema_to_grammar(schema)
    assert grammar == schema_to_grammar(json.dumps(schema))
    with Model(model_path) as model, Sampler(model, SamplingParameters(grammar=grammar)) as sampler:
        assert "grammar" in sampler.names


@pytest.mark.parametrize("schema", ["{", '{"type": "nothing"}', '{"$ref": "#/nowhere"}'])
def test_what_is_no_schema_is_refused(schema: str) -> None:
    with pytest.raises(UsageError, match=r"no grammar can be made of the JSON schema: ."):
        schema_to_grammar(schema)
