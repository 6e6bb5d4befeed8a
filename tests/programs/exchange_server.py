"""exchange_server.py MODEL CLIENTS N: llama-cpp-python's own server, CLIENTS at a time with N tokens each."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request

import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

MODEL, CLIENTS, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
app = create_app(
    server_settings=ServerSettings(host="127.0.0.1", port=0, interrupt_requests=False),
    model_settings=[ModelSettings(model=MODEL, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)],
)
started = threading.Event()
counts: list[int] = []


class Server(uvicorn.Server):  # type: ignore[misc]
    """Says when it listens."""

    async def startup(self, sockets: list[object] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        started.set()


def ask(number: int, port: int) -> None:
    """Ask for a completion and count its tokens."""
    body = {"prompt": f"Client {number} says", "max_tokens": COUNT, "temperature": 0}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        counts.append(json.load(answer)["usage"]["completion_tokens"])


server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
serving = threading.Thread(target=server.run)
serving.start()
started.wait()
chosen = server.servers[0].sockets[0].getsockname()[1]
clients = [threading.Thread(target=ask, args=(number, chosen)) for number in range(CLIENTS)]
for client in clients:
    client.start()
for client in clients:
    client.join()
server.should_exit = True
serving.join()
print(json.dumps({"answers": len(counts), "tokens": sum(counts)}))
