"""``--expect``: a setting that isn't in force as asked for ends the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llamactl.errors import ExpectationError, UsageError
from llamactl.run.report import Setting

NAMES = (
    "threads", "threads-batch", "ctx-size", "batch-size", "ubatch-size", "load-mode", "gpu-layers",
    "cache-type-k", "cache-type-v", "flash-attn",
)  # fmt: skip


def parse(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return ``NAME=VALUE`` texts as pairs.

    Raises:
        UsageError: A text isn't of that form, or the name is unknown.
    """
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value or name not in NAMES:
            raise UsageError(f"--expect {text!r} isn't NAME=VALUE", f"Names: {', '.join(NAMES)}.")
        pairs.append((name, value))
    return tuple(pairs)


def check(expectations: Iterable[tuple[str, str]], settings: Mapping[str, Setting]) -> None:
    """Raise :class:`ExpectationError` naming each setting that isn't in force as expected, with the reason."""
    failures = []
    for name, value in expectations:
        setting = settings[name]
        if str(setting.in_force) != value:
            in_force = "unknown" if setting.in_force is None else setting.in_force
            reason = f" ({setting.reason})" if setting.reason else ""
            failures.append(f"expected {name}={value}, in force is {in_force}{reason}")
    if failures:
        raise ExpectationError("; ".join(failures))
