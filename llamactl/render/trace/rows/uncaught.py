"""Lines about engines whose calls a recording doesn't have."""

from __future__ import annotations

from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import count_text, time_text
from llamactl.trace.mechanisms.interface.uncaught import Uncaught, Why


def uncaught_line(one: Uncaught) -> str:
    """Return why no call of an engine was caught, and what is there instead."""
    file = safe_text(PurePath(one.path).name)
    if one.why is Why.REFUSED:
        because = f": {safe_text(one.detail)}" if one.detail else ""
        return f"{file} was opened, but the dynamic linker didn't keep it{because}"
    if one.why is Why.WITHOUT_AGENT:
        where = f"process {one.pid} ({safe_text(one.process)})"
        return f"{one.holds} is in {where}, where calls weren't caught: {safe_text(one.detail)}"
    if one.why is Why.NOT_CALLED:
        return f"{file} is loaded, but no call of its functions was seen"
    whose = f" of {safe_text(' '.join(filter(None, (one.name, one.version))))}" if one.name else ""
    line = f"{one.holds} is inside {file}{whose}, which exports none of its functions: calls can't be caught"
    return f"{line}; see GIL and CPU instead" if one.releases else f"{line}; see CPU and Threads instead"


def released_line(one: Uncaught) -> str:
    """Return how the module that holds an engine let the GIL go; empty where that wasn't seen."""
    if not one.releases:
        return ""
    return (
        f"{safe_text(PurePath(one.path).name)} let it go {count_text(one.releases)} times,"
        f" {time_text(one.released_ns)} in all, {time_text(one.longest_ns)} at most: then it computed or waited"
    )
