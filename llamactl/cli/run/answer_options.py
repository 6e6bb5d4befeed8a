"""Options that only ``llamactl run`` has: what to answer, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """What to answer, and how far."""

    prompt_option: Annotated[
        str | None,
        Option("-p", "--prompt", metavar="PROMPT", help="The prompt, as llama.cpp's programs take it."),
    ] = None
    file: Annotated[
        str | None, Option("-f", "--file", metavar="FILE", help="The prompt from a file; - is stdin.")
    ] = None
    system: Annotated[
        str, Option("-sys", "--system", "--system-prompt", metavar="TEXT", help="System message of the chat.")
    ] = ""
    raw: Annotated[
        bool,
        Option("--raw/--conversation", "-no-cnv/-cnv", "--no-conversation",
               help="Continue the prompt as it is, without the chat template."),
    ] = False  # fmt: skip
    n_predict: Annotated[
        int,
        Option("-n", "--predict", "--n-predict", metavar="N", envvar="LLAMA_ARG_N_PREDICT",
               help="Most tokens to generate; -1 for as many as fit."),
    ] = -1  # fmt: skip
    stop: Annotated[
        list[str],
        Option("-r", "--stop", "--reverse-prompt", metavar="TEXT", help="End before this text. Repeatable."),
    ] = field(default_factory=list)
    embed: Annotated[
        bool,
        Option("--embed", help="Embeddings instead of text: a row of JSON for each line of the prompt. A model "
                               "that ranks gives scores for QUERY<tab>DOCUMENT."),
    ] = False  # fmt: skip
    pooling: Annotated[
        str | None,
        Option("--pooling", metavar="none|mean|cls|last|rank", envvar="LLAMA_ARG_POOLING",
               help="With --embed. Default: the model's, else mean."),
    ] = None  # fmt: skip
    escape: Annotated[
        bool,
        Option("--escape/--no-escape", "-e",
               help=r"Read \n, \t, \x41 and such in the prompt and in stops as what they name."),
    ] = True  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What is shown."""

    json: Annotated[bool, Option("--json", help="One JSON document instead of text.")] = False
    jsonl: Annotated[bool, Option("--jsonl", help="A stream of JSON events instead of text.")] = False
    expect: Annotated[
        list[str],
        Option("--expect", metavar="NAME=VALUE", help="Fail unless this setting is in force. Repeatable."),
    ] = field(default_factory=list)
    show_prompt: Annotated[
        bool, Option("--show-prompt", help="Show the prompt after the chat template, and generate nothing.")
    ] = False
    tokens: Annotated[
        bool, Option("--tokens", help="Show the prompt's tokens, one a line, and generate nothing.")
    ] = False
    observe: Annotated[
        bool, Option("--observe", help="Trace the run and end with the mechanism report on stderr.")
    ] = False
    quiet: Annotated[bool, Option("-q", "--quiet", help="No figures, no progress on stderr.")] = False
    verbose: Annotated[
        bool, Option("-v", "--verbose", "--log-verbose", help="The engine's log on stderr.")
    ] = False


@dataclass(frozen=True, slots=True)
class AcceptedOptions:
    """Options of llama.cpp's programs that ask for what is so anyway: scripts have them."""

    single_turn: Annotated[bool, Option("-st", "--single-turn", hidden=True)] = False
    simple_io: Annotated[bool, Option("--simple-io", hidden=True)] = False
    no_display_prompt: Annotated[bool, Option("--no-display-prompt", hidden=True)] = False
    no_warmup: Annotated[bool, Option("--no-warmup", hidden=True)] = False
    no_context_shift: Annotated[bool, Option("--no-context-shift", hidden=True)] = False
    perf: Annotated[bool, Option("--perf/--no-perf", hidden=True)] = False
    log_disable: Annotated[bool, Option("--log-disable", hidden=True)] = False
    jinja: Annotated[bool, Option("--jinja", hidden=True)] = False
    no_mmproj: Annotated[bool, Option("--no-mmproj", "--no-mmproj-auto", hidden=True)] = False
