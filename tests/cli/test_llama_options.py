"""Lines from people's scripts run as they were meant, or are refused with the option that does it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support import REPOSITORY, Run

gguf = pytest.importorskip("gguf")
from model_kinds import lora_for_llama, model_of  # noqa: E402

from llamactl.cli.app import COMMANDS, command  # noqa: E402
from llamactl.cli.llama_options import INSTEAD, instead  # noqa: E402
from llamactl.engine.library import directory  # noqa: E402

RUNS = ""
SCRIPTS = [
    ("llama-cli -m MODEL -no-cnv -n 4 PROMPT", RUNS),
    ("llama-cli -m MODEL -n 4 -st PROMPT", RUNS),
    ("llama-cli -m MODEL -cnv -st -n 4 PROMPT", RUNS),
    ("llama-cli -m MODEL -n 4 --single-turn --simple-io PROMPT", RUNS),
    ("llama-completion -m MODEL --no-conversation --no-display-prompt -n 4 PROMPT", RUNS),
    ("llama-completion -m MODEL -no-cnv --no-warmup -n 4 --seed 1 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --jinja --no-perf PROMPT", RUNS),
    ("llama-completion -m MODEL -n4 -t2 -c512 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -ngl 99 -t 2 -c 512 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -ngl all -fa on PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -fa 1 -t -1 -tb -1 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -fa enabled -ub 0 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -lm none PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -ctk f32 -ctv f32 -fa off PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -nkvo --no-host -nr PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -ncmoe 2 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -cmoe -ot exps=CPU PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -fit off PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -fit on -fitt 512 -fitc 256 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --swa-full PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --rope-scaling yarn --yarn-orig-ctx 256 --rope-scale 2 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --override-kv tokenizer.ggml.add_bos_token=bool:false PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --lora LORA PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --lora-scaled LORA:0.5 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -C CPU --cpu-strict 1 --poll 0 -t 1 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --prio -1 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --no-context-shift --log-disable PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 -s 3 --temp 0 --top-k 1 -r END PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --ignore-eos -l 5+1 PROMPT", RUNS),
    ("llama-completion -m MODEL -n 4 --no-mmproj PROMPT", RUNS),
    ("llama-cli -m MODEL -i PROMPT", "One prompt is one run"),
    ("llama-cli -m MODEL -if", "One prompt is one run"),
    ("llama-cli -m MODEL --color PROMPT", "no colours"),
    ("llama-cli -m MODEL -co auto PROMPT", "no colours"),
    ("llama-cli -m MODEL --mlock PROMPT", "-lm mmap+mlock"),
    ("llama-cli -m MODEL --no-mmap PROMPT", "-lm none"),
    ("llama-cli -m MODEL --mmproj p.gguf --image a.png PROMPT", "llama-mtmd-cli"),
    ("llama-cli -m MODEL -mmproj p.gguf PROMPT", "llama-mtmd-cli"),
    ("llama-cli -m MODEL -md draft.gguf --draft-max 8 PROMPT", "No draft model"),
    ("llama-cli -m MODEL --spec-type ngram-simple PROMPT", "No draft model"),
    ("llama-cli -m MODEL --keep 4 --context-shift PROMPT", "larger -c"),
    ("llama-cli -m MODEL -lv 4 PROMPT", "-v shows it"),
    ("llama-cli -m MODEL --log-file x.log PROMPT", "-v shows it"),
    ("llama-cli -m MODEL -np 4 PROMPT", "llamactl bench -np"),
    ("llama-cli -m MODEL --in-prefix U: --in-suffix A: PROMPT", "into the prompt"),
    ("llama-cli -m MODEL -gan 2 -gaw 512 PROMPT", "--rope-scaling yarn"),
    ("llama-cli -mu https://example.org/m.gguf PROMPT", "-m FILE"),
    ("llama-cli -hf a/b -hft secret PROMPT", "HF_TOKEN"),
    ("llama-cli --list-devices", "llamactl inspect --only engine"),
    ("llama-cli -m MODEL -dt 0.1 PROMPT", "leave it out"),
    ("llama-cli -m=x PROMPT", "Write -m "),
    ("llama-cli -m MODEL -nfoo PROMPT", "No such option: -nfoo"),
    ("llama-cli -m MODEL -cnvx PROMPT", "No such option: -cnvx"),
    ("llama-cli -m MODEL -sys-prompt x PROMPT", "No such option: -sys-prompt"),
    ("llama-bench -m MODEL -p 8 -n 2 -r 1 -ngl 99 -t 2", RUNS),
    ("llama-bench -m MODEL -p 8 -n 0 -r 1 -fa 0,1", RUNS),
    ("llama-bench -m MODEL -p 8 -n 0 -r 1 -b 64,128 -ub 32 -o csv", RUNS),
    ("llama-bench -m MODEL -p 0 -n 2 -r 1 -ctk f32 -nkvo 1 -lm none,mmap", RUNS),
    ("llama-bench -m MODEL -pg 8,2 -p 0 -n 0 -r 1 -C CPU -t 1 --no-warmup -oe json", RUNS),
    ("llama-bench -m MODEL -p 8 -n 2 -d 0,8 -r 1 --progress", RUNS),
    ("llama-bench -m MODEL -mmp 0", "-lm none"),
    ("llama-bench -m MODEL -fitt 1024", "-ngl"),
    ("llama-bench --list-devices", "llamactl inspect --only engine"),
    ("llama-bench -m MODEL -v", "llamactl run -v"),
    ("llama-bench -m MODEL -tb 4", "-t sets"),
    ("llama-bench -m MODEL -c 4096", "-d fills it"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stands for the words in capitals."""
    folder = tmp_path_factory.mktemp("scripts")
    return {
        "MODEL": model_of("llama", folder),
        "LORA": lora_for_llama(folder / "lora.gguf"),
        "CPU": hex(1 << min(os.sched_getaffinity(0))),
        "PROMPT": "hello",
    }


@pytest.mark.parametrize(("line", "says"), SCRIPTS)
def test_lines_of_scripts(line: str, says: str, files: dict[str, str], llamactl: Run) -> None:
    program, *words = shlex.split(line)
    ours = "bench" if program == "llama-bench" else "run"
    for word, meant in files.items():
        words = [re.sub(rf"(?<!=)\b{word}\b", meant, given) for given in words]
    done = llamactl(ours, *words)
    if says:
        assert (done.returncode, done.stdout) == (2, ""), "nothing is read as something else"
        assert done.stderr.count("\n") == 1
        assert says in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout


def names_of(name: str) -> set[str]:
    """Return all options of a command."""
    return {one for option in command(name).params for one in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize(
    ("program", "ours", "not_ours"),
    [
        ("completion/llama-completion", "run", {"-h", "--help"}),
        ("bench/llama-bench", "bench", {"-h", "--help"}),
    ],
)
def test_every_option_of_theirs_is_known(program: str, ours: str, not_ours: set[str]) -> None:
    """Done, or refused by name with what to use: their own help is what counts."""
    found = sorted(REPOSITORY.glob(f"build/*/peers/{program}"))
    if not found:
        pytest.skip(f"{program} isn't built: run make peers")
    environment = {"LD_LIBRARY_PATH": str(directory())}
    help_text = subprocess.run(
        [found[0], "--help"], env=environment, capture_output=True, text=True, check=False
    )
    theirs: set[str] = set()
    for line in (help_text.stdout + help_text.stderr).splitlines():
        if re.match(r" {0,2}-", line):
            heads = re.split(r"\s{2,}(?=[^-\s])|\s+[<\[{A-Z(]", line.strip(), maxsplit=1)[0]
            theirs |= set(re.findall(r"(?<![\w-])-{1,2}[A-Za-z][\w-]*", heads))
    assert len(theirs) > 50
    unknown = {one for one in theirs if one not in names_of(ours) and not instead(ours, one)}
    assert unknown - not_ours == set()


def test_what_is_advised_is_there() -> None:
    """No sentence is for an option that is there; what follows ``llamactl COMMAND`` is one of its options."""
    for ours, sentences in INSTEAD.items():
        for option, sentence in sentences.items():
            assert option not in names_of(ours), option
            for other, advised in re.findall(r"llamactl (\w+) (-[\w-]+)", sentence):
                assert other in COMMANDS and advised in {*names_of(other), "--only"}
            for advised in re.findall(r"^(-[\w-]+) ", sentence):
                assert advised in names_of(ours) | {"--help"}, sentence


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("trace", "-ofile.json -- true", "No such option: -ofile.json"),
        ("inspect", "-cfoo m.gguf", "No such option: -cfoo"),
        ("bench", "-pfoo", "No such option: -pfoo"),
        ("bench compare", "-x a b", "No such option: -x"),
    ],
)
def test_other_commands_are_as_strict(name: str, words: str, says: str, llamactl: Run) -> None:
    done = llamactl(*name.split(), *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_model_beside_the_environments_repository(llamactl: Run, files: dict[str, str]) -> None:
    """A flag beats the environment, whichever option it is."""
    for ours, options in (("run", ["-n", "1", "hi"]), ("bench", ["-p", "4", "-n", "0", "-r", "1"])):
        done = llamactl(ours, "-q", "-m", files["MODEL"], *options, env={"LLAMA_ARG_HF_REPO": "no/such"})
        assert (done.returncode, done.stderr) == (0, "")
        other = {"LLAMA_ARG_MODEL": files["MODEL"]}
        done = llamactl(ours, "-q", "-hf", "just-a-name", "--offline", *options, env=other)
        assert done.returncode == 2 and "just-a-name" in done.stderr, "the repository counts"
        done = llamactl(ours, "-q", *options, env=other)
        assert (done.returncode, done.stderr) == (0, "")
        both = {"LLAMA_ARG_MODEL": files["MODEL"], "LLAMA_ARG_HF_REPO": "no/such"}
        assert "two models" in llamactl(ours, "-q", *options, env=both).stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"LLAMA_ARG_FLASH_ATTN": "1"},
        {"LLAMA_ARG_FLASH_ATTN": "disabled"},
        {"LLAMA_ARG_THREADS": "-1"},
        {"LLAMA_ARG_OFFLINE": "enabled"},
        {"LLAMA_ARG_NO_KV_OFFLOAD": "1"},
        {"LLAMA_ARG_KV_OFFLOAD": "disabled"},
        {"LLAMA_ARG_SWA_FULL": "enabled", "LLAMA_ARG_N_CPU_MOE": "1", "LLAMA_ARG_FIT": "off"},
        {"LLAMA_ARG_OVERRIDE_TENSOR": "exps=CPU", "LLAMA_ARG_ROPE_FREQ_BASE": "10000"},
    ],
)
def test_values_of_the_environment_as_llama_cpp_takes_them(
    variables: dict[str, str], llamactl: Run, files: dict[str, str]
) -> None:
    done = llamactl("run", "-q", "-m", files["MODEL"], "-n", "1", "--raw", "hi", env={**variables})
    assert (done.returncode, done.stderr) == (0, "")


def test_variables_that_are_not_read_are_named_once(llamactl: Run, files: dict[str, str]) -> None:
    variables: dict[str, str | None] = {
        "LLAMA_ARG_PORT": "8080",
        "LLAMA_ARG_ALIAS": "x",
        "LLAMA_ARG_CTX_SIZE": "256",
    }
    done = llamactl("run", "-q", "-m", files["MODEL"], "-n", "1", "--raw", "hi", env=variables)
    warning = "llamactl: warning: LLAMA_ARG_ALIAS, LLAMA_ARG_PORT are set and not read by llamactl run\n"
    assert (done.returncode, done.stderr) == (0, warning)
    assert llamactl("run", "--help", env=variables).stderr == ""
    assert Path(files["MODEL"]).exists()
