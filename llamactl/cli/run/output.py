"""The faces of a run while it goes on: text, one document, or events."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.cli import boundary
from llamactl.render.safe import safe_text, strip_control
from llamactl.run.execute import Listener

if TYPE_CHECKING:
    from llamactl.cli.run.answer_options import OutputOptions
    from llamactl.run.report import RunReport, Setting

BAR_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Face:
    """What listens to a run, and what comes at its end."""

    listener: Listener
    finish: Callable[[RunReport], None]


def writer(output: OutputOptions) -> Face:
    """Return the face that the options ask for."""
    if output.json:
        return _document(output.quiet)
    if output.jsonl:
        return _events(output.quiet)
    return _text(output.quiet)


def put(text: str) -> None:
    """Write to stdout at once, in UTF-8 whatever the locale says: as the model wrote it, and as JSON must be."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


def _ignore(*_: object) -> None:
    """Take anything and do nothing."""


def _text(quiet: bool) -> Face:
    bar = _progress_bar(quiet)
    terminal = sys.stdout.isatty()
    last = "\n"

    def on_text(text: str) -> None:
        nonlocal last
        shown = strip_control(text) if terminal else text
        if shown:
            last = shown[-1]
            put(shown)

    def finish(report: RunReport) -> None:
        if last != "\n":
            put("\n")
        _figures(report, quiet)

    return Face(Listener(bar, boundary.warn, _ignore, on_text), finish)


def _figures(report: RunReport, quiet: bool) -> None:
    if not quiet:
        from llamactl.render.run.line import run_line

        print(safe_text(run_line(report)), file=sys.stderr)


def _document(quiet: bool) -> Face:
    from llamactl.render.run.json import run_document

    def finish(report: RunReport) -> None:
        put(run_document(report) + "\n")
        _figures(report, quiet)

    return Face(Listener(_progress_bar(quiet), boundary.warn, _ignore, _ignore), finish)


def _events(quiet: bool) -> Face:
    from llamactl.render.run import json as run_json

    def on_ready(settings: dict[str, Setting], n_prompt_tokens: int) -> None:
        put(run_json.ready_event(settings, n_prompt_tokens) + "\n")

    def on_warning(text: str) -> None:
        boundary.warn(text)
        put(run_json.warning_event(text) + "\n")

    def finish(report: RunReport) -> None:
        put(run_json.end_event(report) + "\n")
        _figures(report, quiet)

    def on_text(text: str) -> None:
        put(run_json.text_event(text) + "\n")

    return Face(Listener(_progress_bar(quiet), on_warning, on_ready, on_text), finish)


def _progress_bar(quiet: bool) -> Callable[[float], None]:
    """Return what draws the share loaded on a terminal; nothing for loads quicker than a second."""
    from time import monotonic

    if quiet or not sys.stderr.isatty():
        return _ignore
    begin = monotonic()
    drawn = False

    def draw(share: float) -> None:
        nonlocal drawn
        if share >= 1.0:
            if drawn:
                sys.stderr.write("\r\x1b[K")
        elif monotonic() - begin > 1:
            drawn = True
            full = round(share * BAR_WIDTH)
            sys.stderr.write(f"\rLoading {'█' * full}{'░' * (BAR_WIDTH - full)} {share:4.0%}")
        sys.stderr.flush()

    return draw
