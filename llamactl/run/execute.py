"""One run, from the model file to the report."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter_ns
from typing import TYPE_CHECKING

from llamactl.engine import (
    ChatPrompt,
    Context,
    ContextParameters,
    Generated,
    Model,
    Sampler,
    SamplingParameters,
    generate,
    guard,
)
from llamactl.engine.generation import check_prompt
from llamactl.errors import EXIT_INTERRUPTED, LlamactlError
from llamactl.process.cpu_budget import CpuBudget, cpu_budget
from llamactl.process.cpu_wait import CpuWaits, cpu_moment, waits_between
from llamactl.run import expect, generates, in_force, prompt
from llamactl.run.generates import at_once
from llamactl.run.report import RunReport, Setting
from llamactl.run.request import Request
from llamactl.run.room import check_room, fitted
from llamactl.run.template import Renderer
from llamactl.snapshot.memory import ProcessMemory, process_memory

if TYPE_CHECKING:
    from llamactl.run.reply import Told
    from llamactl.run.timing import Steps

DAMAGED = "The model file may be damaged: fetch it again or check its hash."


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to know while it runs.

    Attributes:
        on_progress: Gets the share loaded, 0.0 to 1.0.
        on_warning: Gets a sentence.
        on_ready: Gets the settings in force and the number of prompt tokens, before the prompt is computed.
        on_text: Gets text as it becomes certain.
    """

    on_progress: Callable[[float], object]
    on_warning: Callable[[str], object]
    on_ready: Callable[[dict[str, Setting], int], object]
    on_text: Callable[[str], object]


class InterruptedWhileLoadingError(LlamactlError):
    """Ctrl-C before anything was generated."""

    exit_code = EXIT_INTERRUPTED


def execute(request: Request, listener: Listener) -> RunReport:
    """Run a request.

    Raises:
        UsageError: The request doesn't fit the model.
        ExpectationError: An expectation isn't met; nothing was generated.
        InterruptedWhileLoadingError: Ctrl-C while loading.
        LlamactlError: The engine failed.
    """
    budget = cpu_budget()
    warnings = _Warnings(listener.on_warning)
    _warn_about_threads(request, budget, warnings)
    with guard.interruptible():
        start = perf_counter_ns()
        with ExitStack() as stack:
            renderer = None if request.raw else stack.enter_context(Renderer())
            request = fitted(request)
            with guard.advising(DAMAGED):
                model = stack.enter_context(_load(request, listener))
            report, closing = _generate(model, request, listener, budget, warnings, renderer, start)
        from llamactl.run.marks import mark_free

        mark_free(closing)
        return report


class _Warnings:
    """Shows each warning once and keeps it for the report."""

    def __init__(self, show: Callable[[str], object]) -> None:
        self.texts: list[str] = []
        self._show = show

    def add(self, text: str) -> None:
        self.texts.append(text)
        self._show(text)


def _load(request: Request, listener: Listener) -> Model:
    def progress(share: float) -> bool:
        listener.on_progress(share)
        return not guard.interrupted()

    try:
        return Model(request.model, request.model_parameters, progress)
    except LlamactlError:
        if guard.interrupted():
            raise InterruptedWhileLoadingError("interrupted while the model was loading") from None
        raise


def _generate(
    model: Model,
    request: Request,
    listener: Listener,
    budget: CpuBudget,
    warnings: _Warnings,
    renderer: Renderer | None,
    start: int,
) -> tuple[RunReport, int]:
    """Return the report and when freeing began."""
    loaded = perf_counter_ns()
    for line in model.warnings:
        warnings.add(line)
    _warn_about_context(model, request, warnings)
    generates.check_model(model)
    parameters = _context_parameters(model, request, renderer, warnings)
    with ExitStack() as stack:
        context = stack.enter_context(Context(model, parameters))
        generates.check_context(context)
        request.extras.apply(context)
        context.abort_on_interrupt()
        context_made = perf_counter_ns()
        settings = _settings(model, context, request)
        expect.check(request.expectations, settings)
        prompt_given = perf_counter_ns()
        made = prompt.chat_prompt(model, request, renderer)
        if renderer is not None:
            renderer.close()  # Pages that it shares would not count as this process's own.
            prompt.check_whole(made, request)
        rendered = perf_counter_ns()
        tokens = model.vocabulary.tokenize(made.text)
        tokenized = perf_counter_ns()
        check_prompt(context, len(tokens))
        sampler = stack.enter_context(Sampler(model, _sampling(request, made, warnings)))
        listener.on_ready(settings, len(tokens))
        before = cpu_moment()
        done, written = _run(context, sampler, tokens, request, listener)
        waits = waits_between(before, cpu_moment())
        # What only the report needs is imported when the text is out: the first token comes sooner.
        from llamactl.run.marks import mark_phases
        from llamactl.run.reply import reply_of
        from llamactl.run.timing import Steps

        steps = Steps(
            start, loaded, context_made, prompt_given, rendered, tokenized, perf_counter_ns(), not request.raw
        )
        mark_phases(steps, done)
        reply = reply_of(model, made, done, written, warnings.add)
        report = _report(
            model, context, sampler, request, budget, waits, warnings, steps, done, written, reply
        )
        return report, perf_counter_ns()


def _context_parameters(
    model: Model, request: Request, renderer: Renderer | None, warnings: _Warnings
) -> ContextParameters:
    """Return the request's sizes, changed where the model or the memory demands it, which is said."""
    parameters = check_room(model, request.context_parameters, request.extras.fitting)
    if parameters.n_ctx != request.context_parameters.n_ctx:
        warnings.add(
            f"the context has {parameters.n_ctx} tokens, as many as fit into memory, where the model has "
            f"{model.n_ctx_train}: ask for a size (-c), or --fit off to have it refused."
        )
    if model.has_encoder:
        made = prompt.chat_prompt(model, request, renderer)
        parameters = at_once(parameters, len(model.vocabulary.tokenize(made.text)))
    return parameters


def _sampling(request: Request, made: ChatPrompt, warnings: _Warnings) -> SamplingParameters:
    if request.chat.budget < 0:
        return request.sampling
    reasoning = prompt.reasoning_budget(made, request.chat)
    if reasoning is None:
        warnings.add("--reasoning-budget does nothing: the prompt's template knows no thinking.")
    return replace(request.sampling, reasoning=reasoning)


def _run(
    context: Context, sampler: Sampler, tokens: list[int], request: Request, listener: Listener
) -> tuple[Generated, str]:
    written: list[str] = []

    def on_text(text: str) -> None:
        written.append(text)
        listener.on_text(text)

    done = generate(context, sampler, tokens, request.n_predict, request.stops, on_text)
    return done, "".join(written)


def _settings(model: Model, context: Context, request: Request) -> dict[str, Setting]:
    # Reading every mapping takes a while: before the first token only if somebody checks.
    wants_memory = any(name == "load-mode" for name, _ in request.expectations)
    return in_force.settings(model, context, _memory(request) if wants_memory else None)


def _memory(request: Request) -> ProcessMemory | None:
    from llamactl.snapshot.gguf.splits import files_of

    parts = [os.path.realpath(part) for part in files_of(str(request.model))]
    try:
        return process_memory(files=parts)
    except OSError:
        return None


def _report(
    model: Model,
    context: Context,
    sampler: Sampler,
    request: Request,
    budget: CpuBudget,
    waits: CpuWaits | None,
    warnings: _Warnings,
    steps: Steps,
    done: Generated,
    written: str,
    reply: Told,
) -> RunReport:
    from llamactl.run.facts import memory_facts, model_facts, versions
    from llamactl.run.timing import timings

    memory = _memory(request)
    return RunReport(
        text=written,
        reasoning=reply.reasoning,
        answer=reply.answer,
        finish_reason=done.finish_reason,
        stopped_by=done.stopped_by,
        n_prompt_tokens=done.n_prompt,
        n_tokens=len(done.tokens),
        seed=sampler.seed,
        samplers=sampler.names,
        sampling={name: value if isfinite(value) else None for name, value in sampler.in_force.items()},
        model=model_facts(model),
        settings=in_force.settings(model, context, memory),
        timings=timings(steps, done),
        memory=memory_facts(request.model, memory, context),
        cpu_budget=budget,
        cpu_waits=waits,
        versions=versions(),
        warnings=tuple(warnings.texts),
    )


def _warn_about_threads(request: Request, budget: CpuBudget, warnings: _Warnings) -> None:
    asked = max(request.context_parameters.n_threads, request.context_parameters.n_threads_batch)
    if asked > budget.threads:
        warnings.add(
            f"{asked} threads on a budget of {budget}: they will wait for each other. Use -t {budget.threads}."
        )


def _warn_about_context(model: Model, request: Request, warnings: _Warnings) -> None:
    asked = request.context_parameters.n_ctx
    if asked > model.n_ctx_train:
        warnings.add(
            f"a context of {asked} tokens is more than the model was trained with ({model.n_ctx_train}): "
            "text beyond that may be poor."
        )
