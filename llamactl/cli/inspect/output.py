"""Show a subject once, again and again, or the difference of two documents."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError, UsageError
from llamactl.json_file import read_json
from llamactl.render.inspect.version import NAME, VERSION

if TYPE_CHECKING:
    from llamactl.cli.inspect.subjects import Subject

# Home, then clear to the end: less flicker over a slow line than clearing first.
_HOME, _CLEAR_BELOW, _CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"


def show(subject: Subject, watch_s: float | None, *, as_json: bool) -> int:
    """Print a subject and return the exit status."""
    if watch_s is None:
        # A look makes many objects and no cycles; it ends before there is anything to collect.
        gc.disable()
        sys.stdout.write(_rendered(subject, as_json=as_json, indent=2))
        sys.stdout.flush()
        if subject.problem is not None:
            raise subject.problem
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _watch(subject, watch_s, as_json=as_json)
    return 0


def _rendered(subject: Subject, *, as_json: bool, indent: int | None) -> str:
    from llamactl.render.document import dumps

    return dumps(subject.document(), indent=indent) + "\n" if as_json else subject.text()


def _watch(subject: Subject, seconds: float, *, as_json: bool) -> None:
    """Show again and again: in place on a terminal, one block or one line of JSON after the other elsewhere."""
    live = sys.stdout.isatty() and not as_json
    if live:
        sys.stdout.write(_HOME + _CLEAR_BELOW)
    first = True
    while True:
        begun = time.monotonic()
        try:
            text = _rendered(subject, as_json=as_json, indent=None)
        except LlamactlError as error:
            if first:
                raise
            print(f"ended: {error.message}", file=sys.stderr)
            return
        sys.stdout.write(_in_place(text) if live else text if as_json or first else "\n" + text)
        sys.stdout.flush()
        first = False
        time.sleep(max(seconds - (time.monotonic() - begun), 0.0))


def _in_place(text: str) -> str:
    """Return what shows a text on the terminal instead of the last one, as much of it as there is room for."""
    try:
        width, height = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        width, height = 80, 24
    lines = text.rstrip("\n").split("\n")
    if 0 < height <= len(lines):
        lines = [*lines[: height - 2], f"… {len(lines) - height + 2} more lines"]
    if width > 0:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    return _HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines) + _CLEAR_BELOW


def show_diff(before: str, after: str, *, as_json: bool) -> int:
    """Print what changed between two documents and return the exit status."""
    from llamactl.render.document import dumps
    from llamactl.render.inspect.diff import diff_document, diff_text
    from llamactl.snapshot.diff import diff_documents

    old, new = _load(before), _load(after)
    if old.get("kind") != new.get("kind"):
        raise UsageError(
            f"{before} is about a {old.get('kind')} and {after} about a {new.get('kind')}",
            "Compare like with like.",
        )
    changes = diff_documents(old, new)
    sys.stdout.write(dumps(diff_document(changes)) + "\n" if as_json else diff_text(changes))
    return 0


def _load(path: str) -> dict[str, Any]:
    hint = "Give a file that llamactl inspect --json wrote."
    try:
        found = read_json(path)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", hint) from error
    except ValueError as error:
        raise UsageError(f"{path} can't be read: {error}", hint) from error
    if (
        not isinstance(found, dict)
        or found.get("schema") != f"llamactl.{NAME}"
        or found.get("schema_version") != VERSION
    ):
        raise UsageError(f"{path} isn't a document of llamactl inspect, version {VERSION}", hint)
    document: dict[str, Any] = found
    return document
