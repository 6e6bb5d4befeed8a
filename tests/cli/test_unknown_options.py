"""A mistyped option names the command whose help to read, and the option that was meant."""

from __future__ import annotations

import re

import pytest
from support import Run

from llamactl.cli.app import COMMANDS, command
from llamactl.cli.unknown_option import OTHER_NAMES, SENTENCES


@pytest.mark.parametrize(
    "words, says",
    [
        ("run --max-tokens 5 hi",
         "llamactl: No such option: --max-tokens. Did you mean -n (--n-predict)? Try 'llamactl run --help'.\n"),
        ("run --max_tokens=5 hi", "Did you mean -n (--n-predict)? Try 'llamactl run --help'."),
        ("run --n_predict 5", "Did you mean --n-predict? Try"),
        ("run --num-ctx 5", "Did you mean -c (--ctx-size)? Try 'llamactl run --help'."),
        ("run --n-threads 5", "Did you mean -t (--threads)?"),
        ("run --text hi", 'The prompt is an argument: llamactl run "TEXT". Try \'llamactl run --help\'.'),
        ("run --query hi", "The prompt is an argument"),
        ("run --iterations 5", "No such option: --iterations. Try 'llamactl run --help'."),
        ("run --attach 5", "No such option: --attach. Try 'llamactl run --help'."),
        ("run --stop-words x", "Did you mean -r (--reverse-prompt)?"),
        ("trace --attach 5", "Did you mean -p (--pid)?"),
        ("run --temprature 0", "Did you mean --temperature?"),
        ("run --xyzzy", "No such option: --xyzzy. Try 'llamactl run --help'."),
        ("bench --iterations 5", "Did you mean -r (--repetitions)? Try 'llamactl bench --help'."),
        ("bench compare --basline x", "Try 'llamactl bench compare --help'."),
        ("inspect --pid 5", "The process is an argument: llamactl inspect PID. Try 'llamactl inspect --help'."),
        ("trace -f -- true", "Threads and children are always recorded: leave it out. Try 'llamactl trace --help'."),
        ("trace --time 5 -- true", "Did you mean --duration?"),
        ("worker --port 5", "Where to listen is an argument: llamactl worker HOST:PORT."),
        ("rum hi", "No such command 'rum'. Did you mean run? Try 'llamactl --help'."),
        ("--versoin", "Did you mean --version? Try 'llamactl --help'."),
        ("run --temp x", "Try 'llamactl run --help'."),
    ],
)  # fmt: skip
def test_what_is_said(llamactl: Run, words: str, says: str) -> None:
    done = llamactl(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert ". ." not in done.stderr and ".." not in done.stderr


def test_what_is_advised_is_there() -> None:
    """No alias takes the place of an option that a command has, and every option advised is one of some command."""
    options = {
        name: {
            one for parameter in command(name).params for one in (*parameter.opts, *parameter.secondary_opts)
        }
        for name in COMMANDS
    }
    assert set(OTHER_NAMES) <= set().union(*options.values())
    for name, sentences in SENTENCES.items():
        assert not set(sentences) & options[name]
        for sentence in sentences.values():
            assert set(re.findall(r"--?[a-z]+", sentence)) - {"--"} <= options[name]
