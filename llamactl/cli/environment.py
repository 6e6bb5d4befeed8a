"""llama.cpp's variables, read as its own programs read them (``common/arg.cpp``)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

PREFIX, NOT = "LLAMA_ARG_", "LLAMA_ARG_NO_"
WORDS = {"enabled": "true", "disabled": "false"}
"""Values of switches that llama.cpp knows and Typer doesn't."""
WHOLE = {"bench": {"model": "LLAMA_ARG_MODEL"}, "run": {"override_tensor": "LLAMA_ARG_OVERRIDE_TENSOR"}}
"""Lists whose variable is one value: Typer would split it at spaces."""
EXCLUSIVE = (("model", "hf_repo", "hf_file"),)
"""Options of which one takes the others' place. ``hf_file`` belongs to ``hf_repo``: see :func:`flags_beat_it`."""
COMPANIONS = {("hf_repo", "hf_file"), ("hf_file", "hf_repo")}


def as_llama_cpp_reads_it(parameters: Iterable[Any]) -> None:
    """Put values of switches as llama.cpp takes them into words that Typer takes: ``enabled``, ``LLAMA_ARG_NO_…``."""
    for parameter in parameters:
        name = parameter.envvar
        if not isinstance(name, str) or not getattr(parameter, "is_flag", False):
            continue
        if parameter.secondary_opts and name.replace(PREFIX, NOT) in os.environ:
            os.environ[name] = "false"
        value = os.environ.get(name)
        if value in WORDS:
            os.environ[name] = WORDS[value]


def flags_beat_it(context: Any) -> None:
    """Forget what the environment says where the command line gives another option that takes its place.

    Args:
        context: Typer's, after it has parsed.
    """
    for field, variable in WHOLE.get(str(context.info_name), {}).items():
        if not context.params.get(field) and os.environ.get(variable):
            context.params[field] = [os.environ[variable]]
    for names in EXCLUSIVE:
        given = [name for name in names if _given(context, name)]
        for name in names:
            if given and name not in given and not any((name, one) in COMPANIONS for one in given):
                _forget(context, name)


def _given(context: Any, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _forget(context: Any, name: str) -> None:
    if name in context.params:
        value = context.params[name]
        context.params[name] = type(value)() if isinstance(value, (list, tuple)) else None


def not_honoured(command: str, parameters: Iterable[Any]) -> list[str]:
    """Return the names of llama.cpp's variables that are set and that a command doesn't read."""
    read = {*_variables(parameters), *WHOLE.get(command, {}).values()}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in read)


def _variables(parameters: Iterable[Any]) -> Iterator[str]:
    for parameter in parameters:
        names = parameter.envvar or ()
        for name in [names] if isinstance(names, str) else names:
            yield name
            if parameter.secondary_opts:
                yield name.replace(PREFIX, NOT)
