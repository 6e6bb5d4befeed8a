"""``llamactl run --embed``: from options to rows of JSON. Call it inside a command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from llamactl.cli import boundary
from llamactl.errors import EXIT_OK, UsageError
from llamactl.render.document import document, dumps
from llamactl.run.embed import EmbedRequest, embed

if TYPE_CHECKING:
    from llamactl.run.request import Request


def write_embeddings(request: Request, pooling: str | None) -> int:
    """Write one row for each line of the prompt.

    Raises:
        UsageError: There is no text.
    """
    from dataclasses import replace

    texts = tuple(line for line in request.prompt.split("\n") if line.strip())
    if not texts:
        raise UsageError("there is no text", "Give one text a line, as the prompt or with -f.")
    parameters = replace(request.context_parameters, n_ctx=0, pooling=pooling or "unspecified")
    parameters.native()
    asked = EmbedRequest(request.model, texts, request.model_parameters, parameters, request.extras)
    for row in embed(asked, boundary.warn):
        sys.stdout.write(dumps(document("embedding", 1, row), indent=None) + "\n")
        sys.stdout.flush()
    return EXIT_OK
