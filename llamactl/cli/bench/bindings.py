"""``llamactl bench --binding``: from options to a table. Imports the engine: call it inside a command."""

from __future__ import annotations

import sys

from llamactl.bench.bindings.bindings import BINDINGS, BindingRequest, measure_bindings
from llamactl.cli.bench.options import (
    BindingOptions,
    ConditionOptions,
    OutputOptions,
    SettingOptions,
    TestOptions,
)
from llamactl.cli.bench.plan import chosen_tests, measuring_options, model_paths, setting_choices
from llamactl.errors import EXIT_OK, UsageError
from llamactl.models.resolve import resolve_model
from llamactl.render.bench.bindings import bindings_document, bindings_missing, bindings_table


def compare_bindings(
    options: BindingOptions,
    tests: TestOptions,
    settings: SettingOptions,
    conditions: ConditionOptions,
    output: OutputOptions,
) -> int:
    """Measure the bindings and print them.

    Raises:
        UsageError: A name is unknown, or more than one value is given where one is measured.
    """
    names = tuple(name.strip() for text in options.binding for name in text.split(","))
    for name in names:
        if name not in BINDINGS:
            raise UsageError(f"--binding {name!r} is unknown", f"Choose one of: {', '.join(BINDINGS)}.")
    if output.output not in {"md", "json"}:
        raise UsageError(f"-o {output.output} doesn't go with --binding", "Use md or json.")
    generations = [test.n_gen for test in chosen_tests(tests) if test.kind == "tg"]
    models = model_paths(tests.model)
    threads = setting_choices(settings)["n_threads"]
    if len(generations) != 1 or len(threads) != 1 or len(models) > 1:
        raise UsageError("--binding takes one model, one -n and one -t", "Call it once for each.")
    request = BindingRequest(
        bindings=names,
        model=resolve_model(next(iter(models), None), tests.hf_repo, tests.hf_file, offline=tests.offline),
        n_gen=generations[0],
        n_threads=int(str(threads[0])),
        repetitions=measuring_options(conditions).repetitions,
        llama_bench=options.llama_bench,
        ctypes_python=options.ctypes_python,
    )
    results = measure_bindings(request)
    sys.stdout.write(bindings_document(results) if output.output == "json" else bindings_table(results))
    if not output.quiet:
        sys.stderr.write(bindings_missing(results))
    return EXIT_OK
