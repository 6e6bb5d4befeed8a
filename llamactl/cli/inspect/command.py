"""``llamactl inspect``: what a model, a process or this machine is, right now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from llamactl.cli.groups import expanded
from llamactl.cli.inspect.machine import MachineOptions, MachineSubject
from llamactl.cli.inspect.model import ModelFileOptions, ModelSubject

if TYPE_CHECKING:
    from llamactl.cli.inspect.subjects import Subject

EXAMPLES = """Tell what a model, a process or this machine is, right now.

TARGET is a model file (a path), a process (its number), or nothing for this machine. The process is
never stopped, and what may not be read is said line by line.

\b
Examples:
  llamactl inspect
  llamactl inspect model.gguf -c 8192
  llamactl inspect 4711
  llamactl inspect 4711 --only threads,limits --watch 1
  llamactl inspect 4711 --json > before.json
  llamactl inspect --diff before.json after.json
"""


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """What is shown, and how."""

    only: Annotated[
        str | None,
        Option("--only", metavar="SECTION,…",
               help="Only these sections. Of a process: files, mappings, memory, threads, binding, abi, "
                    "python, gpu, limits (files and mappings then show every line). Of a model: model, groups, "
                    "memory, metadata, template, tensors. Of a machine: cpu, memory, kernel, gpu, engine, "
                    "python, rpc."),
    ] = None  # fmt: skip
    json: Annotated[bool, Option("--json", help="One JSON document instead of text.")] = False
    watch: Annotated[
        float | None,
        Option("--watch", metavar="SECONDS", help="Look again and again, until Ctrl-C."),
    ] = None
    diff: Annotated[
        tuple[str, str] | None,
        Option("--diff", metavar="A.json B.json", help="Tell what changed between two documents of --json."),
    ] = None


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What concerns a process only."""

    children: Annotated[bool, Option("--children", help="Its descendants too.")] = False
    python: Annotated[
        str | None,
        Option(
            "--python", metavar="PATH", help="Ask this interpreter for the binding's structs (ABI check)."
        ),
    ] = None
    binding: Annotated[
        list[str],
        Option(
            "--binding", metavar="MODULE", help="The binding's module to ask. Repeatable. Default: llama_cpp."
        ),
    ] = field(default_factory=list)


@expanded
def inspect(
    target: Annotated[
        str | None,
        Argument(metavar="[TARGET]", help="A process's number or a model's path; nothing is this machine."),
    ] = None,
    view: ViewOptions = ViewOptions(),
    process: ProcessOptions = ProcessOptions(),
    model: ModelFileOptions = ModelFileOptions(),
    machine: MachineOptions = MachineOptions(),
) -> int:
    """Tell what a model, a process or this machine is, right now."""
    from llamactl.cli.inspect.output import show, show_diff
    from llamactl.errors import UsageError

    if view.diff is not None:
        if target is not None or view.watch is not None:
            raise UsageError("--diff takes two files and nothing else", "Leave out TARGET and --watch.")
        return show_diff(*view.diff, as_json=view.json)
    if view.watch is not None and not 0 < view.watch < 1e6:
        raise UsageError(f"--watch {view.watch:g} isn't a number of seconds", "Give one above 0, such as 1.")
    return show(_subject(target, view, process, model, machine), view.watch, as_json=view.json)


inspect.__doc__ = EXAMPLES


def _check_options(target: str | None, process: ProcessOptions, model: ModelFileOptions) -> None:
    """Refuse options that mean nothing for this target; those that the environment may set are left out."""
    from llamactl.errors import UsageError

    is_process = target is not None and target.isascii() and target.isdigit()
    asks_python = process.python is not None and target is None
    given = {
        "--children": process.children and not is_process,
        "--python": process.python is not None and not (is_process or asks_python),
        "--binding": bool(process.binding) and not (is_process or asks_python),
        "--tensors": model.tensors and (target is None or is_process),
        "--filter": model.tensor_filter is not None and (target is None or is_process),
    }
    what = "this machine" if target is None else "a process" if is_process else "a model"
    for name, wrong in given.items():
        if wrong:
            needs = (
                "a model: give its path" if name in ("--tensors", "--filter") else "a process: give its PID"
            )
            raise UsageError(f"{name} means nothing for {what}", f"It is about {needs}.")
    if process.python is not None:
        from shutil import which

        if which(process.python) is not None:
            return
        raise UsageError(f"--python {process.python} can't be executed", "Give the path of an interpreter.")


def _subject(
    target: str | None,
    view: ViewOptions,
    process: ProcessOptions,
    model: ModelFileOptions,
    machine: MachineOptions,
) -> Subject:
    """Tell by its looks what a target is. A model whose name is all digits is given as ``./4711``."""
    from llamactl.cli.inspect import subjects

    _check_options(target, process, model)
    only = tuple(part.strip() for part in view.only.split(",") if part.strip()) if view.only else ()
    if target is None:
        if process.python is not None:
            return subjects.AbiSubject(process.python, tuple(process.binding))
        return MachineSubject(only, machine.servers)
    if target.isascii() and target.isdigit():
        return subjects.ProcessSubject(
            int(target),
            only,
            process.children,
            process.python,
            tuple(process.binding),
            view.watch is not None,
        )
    return ModelSubject(target, only, model)
