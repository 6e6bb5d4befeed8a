"""serve_llama_cpp.py MODEL: llama-cpp-python's own server, until stdin ends; prints its port."""

from __future__ import annotations

import sys
import threading

import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings

app = create_app(
    server_settings=ServerSettings(host="127.0.0.1", port=0, interrupt_requests=False),
    model_settings=[
        ModelSettings(model=sys.argv[1], n_ctx=128, n_threads=1, n_threads_batch=1, verbose=False)
    ],
)


class Server(uvicorn.Server):  # type: ignore[misc]
    """Says where it listens."""

    async def startup(self, sockets: list[object] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def end() -> None:
    """Stop serving when stdin ends."""
    sys.stdin.read()
    server.should_exit = True


server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
threading.Thread(target=end, daemon=True).start()
server.run()
