"""``llamactl bench``: measure, compare, and fail the build when it got slower."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from llamactl.cli.bench.options import (
    BindingOptions,
    CheckOptions,
    ConditionOptions,
    OutputOptions,
    SettingOptions,
    TestOptions,
)
from llamactl.cli.groups import expanded
from llamactl.cli.strict import StrictCommand, StrictGroup

GROUP = typer.Typer(
    name="bench",
    cls=StrictGroup,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

EXAMPLES = """Measure as llama-bench does, with what it leaves out, and compare.

stdout is the result and nothing else; counters, warnings and progress go to stderr.

Exit status: 0 done, 3 a check failed, 125 not measurable, 2 usage.

\b
Examples:
  llamactl bench -m model.gguf -p 512 -n 128
  llamactl bench -m model.gguf -t 1,2,4 -d 0-2048+512 --plot sweep.svg
  llamactl bench -p 0 -n 32 --ttft 512 --load cold,warm --save result.json
  llamactl bench --baseline base.json --fail-if 'tg128 < 0.97'
  llamactl bench --against old/lib -t 1 -p 0 -n 1 -r 300 --fail-if 'tg1 < 0.995'
  llamactl bench compare base.json new.json
"""


@GROUP.callback(context_settings={"help_option_names": ["-h", "--help"]})
@expanded
def bench(
    context: typer.Context,
    tests: TestOptions = TestOptions(),
    settings: SettingOptions = SettingOptions(),
    conditions: ConditionOptions = ConditionOptions(),
    output: OutputOptions = OutputOptions(),
    check: CheckOptions = CheckOptions(),
    bindings: BindingOptions = BindingOptions(),
) -> int | None:
    """Measure as llama-bench does."""
    if context.invoked_subcommand:
        return None
    if bindings.binding:
        from llamactl.cli.bench.bindings import compare_bindings

        return compare_bindings(bindings, tests, settings, conditions, output)
    from llamactl.cli.bench.check import Check
    from llamactl.cli.bench.output import Face, check_outputs
    from llamactl.cli.bench.plan import check_workers, measuring_options, plan
    from llamactl.engine import guard
    from llamactl.errors import EXIT_FAILED, EXIT_INTERRUPTED

    # Everything that can be refused cheaply comes before anything is measured.
    options = measuring_options(conditions)
    face = Face(output)
    cases = plan(tests, settings)
    check_workers(cases, options)
    check_outputs(output, check, {case.setup.model_filename for case in cases})
    checks = Check(check, conditions, [(case.setup, case.test.name) for case in cases])
    guard.install("llamactl", EXIT_FAILED)
    base, report = checks.measure(cases, options, face.listener())
    face.finish(report)
    face.check_saved()
    if not report.complete:
        face.summarize(report)
        return EXIT_INTERRUPTED
    return checks.finish(base, report, face)


bench.__doc__ = EXAMPLES


@GROUP.command("compare", cls=StrictCommand, no_args_is_help=True)
def compare(
    base: Annotated[
        str,
        Argument(
            metavar="BASE",
            help="A file of --save or of llama-bench, or FILE.sqlite#RUN.",
        ),
    ],
    new: Annotated[
        str | None,
        Argument(metavar="[NEW]", help="Another; without it, BASE is a history and its last two count."),
    ] = None,
    fail_if: Annotated[
        list[str] | None, Option("--fail-if", metavar="'NAME < X'", help="Exit 3 if so. Repeatable.")
    ] = None,
    allow_different: Annotated[
        list[str] | None,
        Option(
            "--allow-different",
            metavar="NAME",
            help="For --fail-if: model, engine, machine, settings may differ.",
        ),
    ] = None,
    confidence: Annotated[
        float, Option("--confidence", metavar="SHARE", help="Of intervals and checks.")
    ] = 0.99,
    strict: Annotated[
        bool, Option("--strict", help="Exit 125 when a check passes without certainty.")
    ] = False,
    json: Annotated[bool, Option("--json", help="One JSON document instead of tables.")] = False,
) -> int:
    """Compare two stored results test by test."""
    from llamactl.bench import store
    from llamactl.cli.bench.check import check_confidence, compare_reports

    check_confidence(confidence)
    first, second = (store.load(base), store.load(new)) if new is not None else store.last_two(base)
    return compare_reports(
        first, second, fail_if or (), allow_different or (), confidence, strict=strict, json=json
    )
