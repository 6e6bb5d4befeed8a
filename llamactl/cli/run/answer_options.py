"""Options that only ``llamactl run`` has: what to answer, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """What to answer, and how far."""

    file: Annotated[
        str | None, Option("-f", "--file", metavar="FILE", help="The prompt from a file; - is stdin.")
    ] = None
    system: Annotated[
        str, Option("-sys", "--system", "--system-prompt", metavar="TEXT", help="System message of the chat.")
    ] = ""
    raw: Annotated[bool, Option("--raw", help="Continue the prompt as it is, without the chat template.")] = (
        False
    )
    n_predict: Annotated[
        int,
        Option("-n", "--predict", "--n-predict", metavar="N", envvar="LLAMA_ARG_N_PREDICT",
               help="Most tokens to generate; -1 for as many as fit."),
    ] = -1  # fmt: skip
    stop: Annotated[
        list[str],
        Option("-r", "--stop", "--reverse-prompt", metavar="TEXT", help="End before this text. Repeatable."),
    ] = field(default_factory=list)
    ignore_eos: Annotated[bool, Option("--ignore-eos", help="Go on after the model's end token.")] = False


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What is shown."""

    json: Annotated[bool, Option("--json", help="One JSON document instead of text.")] = False
    jsonl: Annotated[bool, Option("--jsonl", help="A stream of JSON events instead of text.")] = False
    expect: Annotated[
        list[str],
        Option("--expect", metavar="NAME=VALUE", help="Fail unless this setting is in force. Repeatable."),
    ] = field(default_factory=list)
    observe: Annotated[
        bool, Option("--observe", help="Trace the run and end with the mechanism report on stderr.")
    ] = False
    quiet: Annotated[bool, Option("-q", "--quiet", help="No figures, no progress on stderr.")] = False
    verbose: Annotated[bool, Option("-v", "--verbose", help="The engine's log on stderr.")] = False
