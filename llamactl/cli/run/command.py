"""``llamactl run``: one prompt in, text out, honest figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from llamactl.cli.groups import expanded
from llamactl.cli.run.answer_options import AcceptedOptions, OutputOptions, PromptOptions
from llamactl.cli.run.chat import ChatOptions
from llamactl.cli.run.engine_options import (
    AdapterOptions,
    EngineOptions,
    PlacementOptions,
    PlaceOptions,
    RopeOptions,
)
from llamactl.cli.run.options import ContextOptions, ModelOptions
from llamactl.cli.run.sampling import SamplingOptions

if TYPE_CHECKING:
    from llamactl.run.request import Request

EXAMPLES = """Generate text once.

stdout is the text and nothing else; figures, warnings and progress go to stderr.

\b
Examples:
  llamactl run "What is a system call?"
  llamactl run --raw "Once upon a time" -n 64 --temp 0
  git diff | llamactl run --system "Write a commit message." -f -
  llamactl run -m model.gguf --json "Hello" | jq .timings
  llamactl run -t 4 --expect threads=4 --expect load-mode=mmap "Hello"
"""


@expanded
def run(
    prompt: Annotated[
        str | None, Argument(metavar="[PROMPT]", help="The prompt. Without it, -f or stdin is read.")
    ] = None,
    prompts: PromptOptions = PromptOptions(),
    chat: ChatOptions = ChatOptions(),
    model: ModelOptions = ModelOptions(),
    context: ContextOptions = ContextOptions(),
    sampling: SamplingOptions = SamplingOptions(),
    placing: PlacementOptions = PlacementOptions(),
    rope: RopeOptions = RopeOptions(),
    adapters: AdapterOptions = AdapterOptions(),
    places: PlaceOptions = PlaceOptions(),
    output: OutputOptions = OutputOptions(),
    accepted: AcceptedOptions = AcceptedOptions(),  # noqa: ARG001 - it changes nothing
) -> int:
    """Generate text once."""
    from llamactl.cli.run.output import writer
    from llamactl.engine import guard
    from llamactl.errors import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
    from llamactl.run.execute import execute

    if output.json and output.jsonl:
        raise UsageError("--json and --jsonl exclude each other", "Give one of them.")
    if output.observe:
        return _observed()
    guard.install("llamactl", EXIT_FAILED)
    if output.verbose:
        _show_engine_log()
    engine = EngineOptions(placing, rope, adapters, places)
    request = _request(prompt, prompts, chat, model, context, sampling, engine, output)
    if output.show_prompt or output.tokens:
        return _show_prompt(request, output)
    if prompts.embed:
        from llamactl.cli.run.embed import write_embeddings

        return write_embeddings(request, prompts.pooling)
    face = writer(output)
    report = execute(request, face.listener)
    face.finish(report)
    return EXIT_INTERRUPTED if report.finish_reason == "interrupted" else 0


run.__doc__ = EXAMPLES


def _show_prompt(request: Request, output: OutputOptions) -> int:
    """Show what would be put into the engine, and compute nothing."""
    from llamactl.cli.boundary import warn
    from llamactl.cli.run.output import put
    from llamactl.render.run.prompt import prompt_document, token_lines
    from llamactl.run.prompt_view import prompt_view

    view = prompt_view(request, warn)
    if output.json or output.jsonl:
        put(prompt_document(view) + "\n")
    elif output.tokens:
        put(token_lines(view) + "\n")
    else:
        put(view.prompt if view.prompt.endswith("\n") else view.prompt + "\n")
    return 0


def _observed() -> int:
    """Trace the same command line without ``--observe``."""
    import sys

    from llamactl.cli.trace.options import RecordingOptions, SelectingOptions, ShowingOptions
    from llamactl.cli.trace.run import record_and_show

    command = [word for word in sys.argv[1:] if word != "--observe"]
    return record_and_show(command, RecordingOptions(), SelectingOptions(), ShowingOptions())


def _request(
    prompt: str | None,
    prompts: PromptOptions,
    chat: ChatOptions,
    model: ModelOptions,
    context: ContextOptions,
    sampling: SamplingOptions,
    engine: EngineOptions,
    output: OutputOptions,
) -> Request:
    from llamactl.cli.run import engine_request
    from llamactl.cli.run.chat import chat_of
    from llamactl.cli.run.prompt_source import read_prompt
    from llamactl.cli.run.request import context_parameters, model_parameters
    from llamactl.cli.run.sampling import sampling_parameters
    from llamactl.engine import process_escapes
    from llamactl.models.resolve import resolve_model
    from llamactl.run import expect
    from llamactl.run.request import Request
    from llamactl.snapshot.gguf.check import check_model

    # Everything that can be refused cheaply comes before reading, fetching or loading anything.
    extras = engine_request.extras(engine.adapters, engine.places, engine.placing)
    parts = (
        model_parameters(model, **engine_request.placement(engine.placing)),
        context_parameters(context, **engine_request.rope(engine.rope)),
    )
    chosen = sampling_parameters(sampling, escapes=prompts.escape)
    conversation = chat_of(chat)
    expectations = expect.parse(output.expect)
    text = read_prompt(prompt, prompts)
    path = resolve_model(model.model, model.hf_repo, model.hf_file, offline=model.offline, quiet=output.quiet)
    # The engine aborts on some damaged headers; here the fault and its byte are named.
    check_model(str(path))
    _apply_to_process(engine.places)
    if model.rpc:
        from llamactl.engine import rpc

        rpc.connect(model.rpc.split(","))
    return Request(
        model=path,
        prompt=text,
        system=prompts.system,
        raw=prompts.raw,
        chat=conversation,
        model_parameters=parts[0],
        context_parameters=parts[1],
        sampling=chosen,
        n_predict=prompts.n_predict,
        stops=tuple(process_escapes(stop) if prompts.escape else stop for stop in prompts.stop),
        expectations=expectations,
        extras=extras,
    )


def _apply_to_process(places: PlaceOptions) -> None:
    """Set what can be set for the process alone, before the engine loads."""
    from llamactl.run.extras import set_priority

    set_priority(places.prio)
    if places.numa is not None:
        from llamactl.engine.library import set_numa

        set_numa(places.numa or "distribute")


def _show_engine_log() -> None:
    import logging
    import sys

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("llamactl.engine")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
