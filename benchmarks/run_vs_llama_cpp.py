"""llamactl against llama.cpp's own programs, on the same libllama, in one interleaved run.

Usage: python benchmarks/run_vs_llama_cpp.py [--pairs 12] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _pairs import LLAMACTL, interleaved, peer, wall_ms

from llamactl.models.default import default_model

N_PROMPT, N_GENERATE = 256, 64
REPETITIONS = 3
"""Of which the median counts, in each process of either program."""
PROMPT = "Once upon a time there was a small operating system that"
BARE_APP = """
import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def one(): pass
@app.command()
def two(): pass
app()
"""
RATES = """
import random, statistics, sys, time
from llamactl.engine import Context, ContextParameters, Model
model, threads, n_prompt, n_generate, repetitions = sys.argv[1], *map(int, sys.argv[2:])
with Model(model) as m, Context(m, ContextParameters(n_ctx=n_prompt + n_generate, n_threads=threads,
        n_threads_batch=threads)) as c:
    tokens = [random.randrange(m.vocabulary.size) for _ in range(n_prompt)]
    def prompt():
        c.decode_tokens(tokens); c.synchronize()
    def generate():
        for token in tokens[:n_generate]:
            c.decode_token(token); c.synchronize()
    def seconds(work):
        c.kv.clear()
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    for work, count in (prompt, n_prompt), (generate, n_generate):
        seconds(work)
        print(count / statistics.median(seconds(work) for _ in range(repetitions)))
"""


def own_rates(model: str, threads: int) -> tuple[float, float]:
    """Return tokens per second of prompt and generation through llamactl.engine."""
    command = [sys.executable, "-c", RATES, model, str(threads), str(N_PROMPT), str(N_GENERATE)]
    command.append(str(REPETITIONS))
    prompt, generate = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(prompt), float(generate)


def llama_bench_rates(model: str, threads: int) -> tuple[float, float]:
    """Return the same two figures of llama-bench, which warms up as we do."""
    command = [
        peer("llama-bench"),
        "-m",
        model,
        "-t",
        str(threads),
        "-p",
        str(N_PROMPT),
        "-n",
        str(N_GENERATE),
    ]
    output = subprocess.run(
        [*command, "-r", str(REPETITIONS), "-o", "json"], capture_output=True, text=True, check=True
    ).stdout
    prompt, generate = json.loads(output)
    return statistics.median(prompt["samples_ts"]), statistics.median(generate["samples_ts"])


def rates(model: str, threads: int, pairs: int) -> None:
    """Print prompt and generation rates of both."""
    own: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []

    def ours() -> float:
        own.append(own_rates(model, threads))
        return own[-1][0]

    def others() -> float:
        theirs.append(llama_bench_rates(model, threads))
        return theirs[-1][0]

    result = interleaved(ours, others, pairs)
    print(result.row(f"pp{N_PROMPT}, {threads} threads", "tok/s", ">= 0.99"))
    tg = type(result)(tuple(g for _, g in own[1:]), tuple(g for _, g in theirs[1:]))
    print(tg.row(f"tg{N_GENERATE}, {threads} threads", "tok/s", ">= 0.99"))


def first_token(model: str, threads: int, pairs: int) -> None:
    """Print the wall time of the whole process that makes one token."""
    common = ["-m", model, "-t", str(threads), "-c", "2048", "-n", "1", "--temp", "0"]
    own = [LLAMACTL, "run", "--raw", "-q", *common, PROMPT]
    theirs = [peer("llama-completion"), "-no-cnv", *common, "-p", PROMPT]
    result = interleaved(lambda: wall_ms(own), lambda: wall_ms(theirs), pairs)
    print(result.row("process to first token", "ms", "<= 1.15"))
    cold = interleaved(lambda: wall_ms(own), lambda: wall_ms([*theirs, "--no-warmup"]), pairs)
    print(cold.row("… llama-completion --no-warmup", "ms", "(none)"))


def help_text(pairs: int) -> None:
    """Print the wall time of --help against a bare Typer app with two commands."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE_APP, encoding="ascii")
        result = interleaved(
            lambda: wall_ms([LLAMACTL, "--help"]),
            lambda: wall_ms([sys.executable, str(bare), "--help"]),
            pairs,
        )
    print(result.row("--help, bare Typer app", "ms", "<= 1.5"))


def python_share(model: str, threads: int) -> None:
    """Print what Python adds to each token, from the report of a run of one's own."""
    command = [
        LLAMACTL,
        "run",
        "-m",
        model,
        "-t",
        str(threads),
        "--raw",
        "--ignore-eos",
        "-n",
        "128",
        "--temp",
        "0",
    ]
    output = subprocess.run(
        [*command, "--json", "-q", PROMPT], capture_output=True, text=True, check=True
    ).stdout
    report = json.loads(output)
    times, n = report["timings"], report["n_tokens"]
    outside = times["python_ns"] + times["detokenize_ns"] + times["output_ns"]
    print(f"Python's own share: {times['python_ns'] / n / 1e3:.1f} µs a token between the steps,")
    print(f"  {outside / n / 1e3:.1f} µs with detokenizing and output (goal <= 20 µs outside the engine);")
    print(f"  sampling {times['sampling_ns'] / n / 1e3:.1f} µs, decode {times['decode_ns'] / n / 1e3:.1f} µs")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = str(default_model())
    print(f"{'':34} {'llamactl':>9} {'peer':>9} {'':6} {'ratio':>6} (quartiles)")
    rates(model, options.threads, options.pairs)
    rates(model, 1, options.pairs)
    first_token(model, options.threads, options.pairs)
    help_text(options.pairs)
    python_share(model, options.threads)


if __name__ == "__main__":
    main()
