"""What to say to a command line that can't be read: whose help to look at, and which option was meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from llamactl.cli.app import COMMANDS
from llamactl.cli.llama_options import instead

OTHER_NAMES = {
    "-n": "--max-tokens --max-new-tokens --max-length --num-predict --num-tokens --tokens --n-gen --max-output-tokens",
    "--temp": "--temperature --temp",
    "-c": "--n-ctx --num-ctx --context --context-size --context-length --ctx --max-model-len --max-seq-len -ctx",
    "-t": "--threads --n-threads --num-threads --num-thread --nthreads --cpu-threads",
    "-tb": "--n-threads-batch --threads-prompt",
    "-ngl": "--ngl --num-gpu --num-gpu-layers --gpu --device-layers",
    "-m": "--model --model-path --gguf --weights --checkpoint",
    "-hf": "--hf --repo --repo-id --hf-model --model-id",
    "-f": "--prompt-file --input --input-file --prompt-path",
    "-sys": "--sys --system-message --system-text --instruction",
    "-s": "--random-seed --rng-seed",
    "--stop": "--stop-sequence --stop-sequences --stop-words",
    "--repetitions": "--iterations --runs --reps --repeat",
    "-b": "--n-batch --batch",
    "--repeat-penalty": "--repetition-penalty --penalty",
    "--top-k": "--topk",
    "--top-p": "--topp --nucleus",
    "--pid": "--attach --process",
    "--n-prompt": "--prompt-length",
    "--trace": "--filter --expr --syscalls",
    "-o": "--out --output --capture --save --write",
    "--save": "--out --output-file --result",
    "--duration": "--time --seconds --timeout",
    "--children": "--follow --recursive",
    "--json": "--output-json --as-json",
    "-lm": "--use-mmap --use-mlock",
}
"""How other tools call an option: llama.cpp's programs, Ollama, vLLM, Transformers, llama-cpp-python, strace.

A letter that means something else from command to command is here by its long name.
"""

SENTENCES = {
    "run": dict.fromkeys(
        ("--text", "--query", "--message"), 'The prompt is an argument: llamactl run "TEXT".'
    ),
    "inspect": dict.fromkeys(
        ("--pid", "-p", "--process"), "The process is an argument: llamactl inspect PID."
    )
    | dict.fromkeys(("--model", "-m", "--gguf"), "The model is an argument: llamactl inspect FILE."),
    "worker": dict.fromkeys(
        ("--host", "-H", "--port", "-p", "--listen", "--bind"),
        "Where to listen is an argument: llamactl worker HOST:PORT.",
    ),
    "trace": dict.fromkeys(
        ("-f", "-ff", "--follow-forks"), "Threads and children are always recorded: leave it out."
    )
    | dict.fromkeys(("-tt", "-ttt", "-T", "-y", "-yy", "-v", "-r"), "--log shows that anyway: leave it out.")
    | {"-c": "Calls are counted by --show calls.", "-C": "Calls are counted by --show calls, beside --log."},
}
"""What is meant by options that a command has in another form."""


def complaint(error: Any) -> str:
    """Return one line for a command line that Typer refused.

    Args:
        error: Typer's exception; it knows the command and the option.
    """
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "llamactl"
    option = getattr(error, "option_name", None)
    message = f"No such option: {option}" if option else str(error.format_message())
    sentences = [message.rstrip(".") + "."]
    if option and context is not None:
        sentences.append(_meant(option, context))
    elif context is not None and context.parent is None and message.startswith("No such command"):
        near = get_close_matches(message.split("'")[1], COMMANDS, 1)
        sentences.append(f"Did you mean {near[0]}?" if near else "")
    return " ".join([*filter(None, sentences), f"Try '{path} --help'."])


def _meant(option: str, context: Any) -> str:
    """Return which option was meant, of those that the command has; empty when none comes near."""
    name = option.replace("_", "-")
    command = str(context.info_name)
    options = {one: parameter for parameter in context.command.params for one in _names(parameter)}
    sentence = SENTENCES.get(command, {}).get(name) or instead(command, name)
    if sentence and name not in options:
        return sentence
    head, equals, value = option.partition("=")
    if equals and head in options:
        return f"Write {head} {value}."
    found = name if name in options else _renamed(name, options)
    if found is None and len(name) > 2:
        found = next(iter(get_close_matches(name, options, 1, 0.7)), None)
    if found is None:
        return ""
    long = max(_names(options[found]), key=len)
    return f"Did you mean {found}?" if long == found else f"Did you mean {found} ({long})?"


def _renamed(name: str, options: dict[str, Any]) -> str | None:
    """Return the option that other tools call so, by its letter where it has one."""
    found = next((one for one in OTHER_NAMES if _fits(one, name, options)), None)
    letters = [one for one in _names(options[found]) if not one.startswith("--")] if found else []
    return letters[0] if letters else found


def _names(parameter: Any) -> list[str]:
    return [one for one in (*parameter.opts, *parameter.secondary_opts) if one.startswith("-")]


def _fits(option: str, name: str, options: dict[str, Any]) -> bool:
    return option in options and name.lower() in OTHER_NAMES[option].split()
