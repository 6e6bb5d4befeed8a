"""Loading, generating and freeing again and again leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_kinds import model_of
from support import Run

CYCLES, WARM_UP = {"tiny": 200, "default": 30}, {"tiny": 20, "default": 10}
BOUND_BYTES = {"tiny": 2**20, "default": 4 * 2**20}
"""A model's vocabulary that stays is seen in the many cycles, its repacked weights in the few."""

PROGRAM = """
import gc, json, os, sys
from llamactl.engine import *

def measure():
    gc.collect()
    status = open("/proc/self/status").read()
    read = lambda name: int(status.split(name + ":")[1].split()[0])
    return read("RssAnon") * 1024, len(os.listdir("/proc/self/fd")), read("Threads")

def cycle(number):
    # On a loaded machine two threads wait for each other at each of hundreds of barriers: not in each cycle.
    threads = 2 if number % 10 == 0 else 1
    with Model(sys.argv[1], progress=lambda share: True) as model:
        with Context(model, ContextParameters(n_ctx=256, n_threads=threads, n_threads_batch=threads)) as context:
            with Sampler(model, SamplingParameters(seed=number, grammar="root ::= [a-z ]+")) as sampler:
                generate(context, sampler, [17, 18, 19], 2, on_text=str.upper)
                context.logits().numpy().argmax(), context.logits().memoryview()[0]
                context.memory(), model.metadata, model.vocabulary.tokenize("Hello")

cycles, warm_up = int(sys.argv[2]), int(sys.argv[3])
rows = []
for number in range(cycles):
    cycle(number)
    if number >= warm_up - 1:
        rows.append(measure())
print(json.dumps([rows[0], rows[-1]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny", "default"])
def test_nothing_stays_after_many_cycles(python: Run, model_path: Path, tmp_path: Path, kind: str) -> None:
    path = model_of("llama", tmp_path) if kind == "tiny" else str(model_path)
    result = python(PROGRAM, path, str(CYCLES[kind]), str(WARM_UP[kind]))
    assert (result.returncode, result.stderr) == (0, "")
    (memory, files, threads), (memory_after, files_after, threads_after) = json.loads(result.stdout)
    assert (files_after, threads_after) == (files, threads)
    assert abs(memory_after - memory) < BOUND_BYTES[kind]
