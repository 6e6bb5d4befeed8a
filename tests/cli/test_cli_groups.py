"""Options in groups, as every supported Python reads their types."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Optional, get_args, get_type_hints

import pytest
from typer import Argument, Option
from typer.models import OptionInfo

from llamactl.cli import groups


@dataclass(frozen=True)
class Some:
    """A group."""

    size: Annotated[int | None, Option("--size")] = None


def command(word: Annotated[str | None, Argument(metavar="[WORD]")] = None, some: Some = Some()) -> int:
    """Do nothing with an argument that may be missing, and a group."""
    return len(word or "") + (some.size or 0)


@pytest.mark.parametrize("python_3_10", [False, True])
def test_an_argument_that_may_be_missing_stays_one(
    monkeypatch: pytest.MonkeyPatch, python_3_10: bool
) -> None:
    if python_3_10:
        # What that Python's get_type_hints makes of a parameter whose default is None.
        word = Optional[Annotated[Optional[str], Argument(metavar="[WORD]")]]  # noqa: UP045
        hints: dict[Any, Any] = {command: {"word": word, "some": Some, "return": int}}
        monkeypatch.setattr(
            "llamactl.cli.groups.get_type_hints",
            lambda it, **options: hints.get(it) or get_type_hints(it, **options),
        )
    made = groups.expanded(command)
    word, size = inspect.signature(made).parameters.values()
    assert get_args(word.annotation)[1].metavar == "[WORD]"
    assert isinstance(get_args(size.annotation)[1], OptionInfo)
    assert made(word="abc", size=4) == 7
