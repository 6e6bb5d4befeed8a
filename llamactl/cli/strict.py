"""A command line that is read as it was meant: no word of several letters is taken for a letter and its value."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from llamactl.cli import environment, streams

ATTACHED_NUMBER = re.compile(r"[+-]?\d[\d.,:*+-]*")
"""What may stand right behind a letter: ``-n64``, ``-s-1``. A word there is another option, mistyped or unknown."""
RESULT_ON_STDOUT = ("run", "bench", "compare", "inspect")
LLAMA_CPP = ("run", "bench")
"""Commands that stand for one of llama.cpp's programs, whose variables people have set."""


class _Strict:
    """What both kinds of command share; comes before Typer's class."""

    params: list[Any]
    name: str | None

    def make_parser(self, ctx: Any) -> Any:
        """Return the parser, which refuses ``-no-cnv`` where Click reads ``-n o-cnv``."""
        environment.as_llama_cpp_reads_it(self.params)
        return _strict(super().make_parser(ctx))  # type: ignore[misc]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and have the command line win against the environment."""
        rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        environment.flags_beat_it(ctx)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Call the command, if its result can go anywhere; what of the environment it doesn't read is said before."""
        if self.name in RESULT_ON_STDOUT:
            streams.require_stdout()
        if (
            self.name in LLAMA_CPP
            and not getattr(ctx, "invoked_subcommand", None)
            and not ctx.params.get("observe")
        ):
            _say_what_is_not_honoured(str(self.name), self.params)
        return super().invoke(ctx)  # type: ignore[misc]


class StrictCommand(_Strict, TyperCommand):
    """A command."""


class StrictGroup(_Strict, TyperGroup):
    """A command with commands of its own."""


def _say_what_is_not_honoured(command: str, parameters: list[Any]) -> None:
    names = environment.not_honoured(command, parameters)
    if names:
        from llamactl.cli.boundary import warn

        verb = "is" if len(names) == 1 else "are"
        warn(f"{', '.join(names)} {verb} set and not read by llamactl {command}")


def _strict(parser: Any) -> Any:
    match_short = parser._match_short_opt

    def match(word: str, state: Any) -> None:
        if _is_plain(word, parser._short_opt):
            match_short(word, state)
        else:
            parser._match_long_opt(word, None, state)  # There is none: it raises what Typer raises then.

    parser._match_short_opt = match
    return parser


def _is_plain(word: str, known: dict[str, Any]) -> bool:
    """Tell whether a word is letters without values, at its end one with a number, as in ``-qn64``."""
    for place, letter in enumerate(word[1:], 2):
        option = known.get(f"-{letter}")
        if option is None:
            return False
        if option.takes_value:
            return place == len(word) or ATTACHED_NUMBER.fullmatch(word[place:]) is not None
    return True
