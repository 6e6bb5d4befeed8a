"""exchange_xllamacpp.py MODEL CLIENTS N: xllamacpp's server without HTTP, from CLIENTS threads."""

from __future__ import annotations

import json
import sys
import threading

import xllamacpp

MODEL, CLIENTS, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
parameters = xllamacpp.CommonParams()
parameters.model.path = MODEL
parameters.n_ctx, parameters.n_parallel = 1024, 4
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
answers: list[object] = []


def ask(number: int) -> None:
    """Ask for a completion."""
    body = {"prompt": f"Client {number} says", "max_tokens": COUNT, "temperature": 0}
    answers.append(server.handle_completions(body))


clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
for client in clients:
    client.start()
for client in clients:
    client.join()
print(json.dumps({"answers": len(answers)}))
