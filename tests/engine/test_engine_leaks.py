"""Loading, generating and freeing again and again leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import Run

CYCLES, WARM_UP = 200, 20
BOUND_BYTES = 4 * 2**20

PROGRAM = """
import gc, json, os, sys
from llamactl.engine import *

def measure():
    gc.collect()
    status = open("/proc/self/status").read()
    read = lambda name: int(status.split(name + ":")[1].split()[0])
    return read("RssAnon") * 1024, len(os.listdir("/proc/self/fd")), read("Threads")

def cycle(number):
    with Model(sys.argv[1], progress=lambda share: True) as model:
        with Context(model, ContextParameters(n_ctx=256, n_threads=2, n_threads_batch=2)) as context:
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
def test_two_hundred_cycles(python: Run, model_path: Path) -> None:
    result = python(PROGRAM, str(model_path), str(CYCLES), str(WARM_UP))
    assert (result.returncode, result.stderr) == (0, "")
    (memory, files, threads), (memory_after, files_after, threads_after) = json.loads(result.stdout)
    assert (files_after, threads_after) == (files, threads)
    assert abs(memory_after - memory) < BOUND_BYTES
