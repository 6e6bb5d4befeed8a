"""agent_generate.py engine|llama_cpp MODEL N: generate N tokens greedily; print text and counts as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

WHICH, MODEL, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
PROMPT = "The capital of France is"
counts: Counter[str] = Counter()


def with_engine() -> str:
    """Generate through llamactl's own CFFI module."""
    from llamactl.engine import GREEDY, Context, ContextParameters, Model, Sampler, generate

    parts: list[str] = []
    parameters = ContextParameters(n_ctx=256, n_threads=1)
    with Model(MODEL) as model, Sampler(model, GREEDY) as sampler, Context(model, parameters) as context:
        generate(context, sampler, model.vocabulary.tokenize(PROMPT), COUNT, on_text=parts.append)
    return "".join(parts)


def with_llama_cpp() -> str:
    """Generate through llama-cpp-python, counting in Python what it calls."""
    import llama_cpp

    def counted(name: str) -> Any:
        function = getattr(llama_cpp, name)

        def call(*args: Any) -> Any:
            counts[name] += 1
            return function(*args)

        return call

    from llama_cpp import llama_cpp as library

    for name in ("llama_decode", "llama_sampler_sample", "llama_tokenize", "llama_token_to_piece"):
        wrapper = counted(name)
        setattr(llama_cpp, name, wrapper)
        setattr(library, name, wrapper)
    model = llama_cpp.Llama(MODEL, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, seed=1)
    answer: Any = model(PROMPT, max_tokens=COUNT, temperature=0)
    return str(answer["choices"][0]["text"])


text = with_engine() if WHICH == "engine" else with_llama_cpp()
print(json.dumps({"text": text, "counts": counts}))
