"""serve_threads.py MODEL: a server with a thread, a context and a file per request, until stdin ends; prints its port.

GET /TEXT answers with what follows the text, chosen greedily.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import unquote

from llamactl.engine import GREEDY, Context, ContextParameters, Model, Sampler, generate

TOKENS = 12
parameters = ContextParameters(n_ctx=128, n_threads=1)
numbers, one_at_a_time = count(), threading.Lock()


class Answer(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Generate, keep it in a file of its own name for a moment, and answer."""
        parts: list[str] = []
        prompt = model.vocabulary.tokenize(unquote(self.path[1:]))
        with one_at_a_time, Sampler(model, GREEDY) as sampler, Context(model, parameters) as context:
            generate(context, sampler, prompt, TOKENS, on_text=parts.append)
        kept = Path(folder, f"answer-{next(numbers)}")
        kept.write_text("".join(parts), encoding="utf-8")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(kept.read_bytes())
        kept.unlink()

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def end() -> None:
    """Stop serving when stdin ends."""
    sys.stdin.read()
    server.shutdown()


with Model(sys.argv[1]) as model, tempfile.TemporaryDirectory() as folder:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    print(server.server_address[1], flush=True)
    threading.Thread(target=end, daemon=True).start()
    server.serve_forever()
    server.server_close()
