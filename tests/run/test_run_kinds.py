"""Models of every kind: what makes no text is refused, and memory is what llama.cpp's own programs take."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support import REPOSITORY, Run, control_group, on_one_cpu

gguf = pytest.importorskip("gguf")
from model_kinds import KINDS, control_vector, lora_for_llama, model_of  # noqa: E402

from llamactl.engine import ContextParameters, Model  # noqa: E402
from llamactl.engine.library import directory  # noqa: E402
from llamactl.render.document import schema  # noqa: E402
from llamactl.run.memory_needed import memory_needed  # noqa: E402
from llamactl.run.room import at_most  # noqa: E402

NO_TEXT = {"bert": "makes embeddings", "pooled": "makes embeddings", "reranker": "ranks texts"}
WITHOUT_TOKENIZER = "without tokenizer"
GENERATING = [kind for kind in KINDS if kind not in {*NO_TEXT, WITHOUT_TOKENIZER}]
BUFFER = re.compile(r"(model|KV|RS|output|compute) buffer size = +([\d.]+) MiB")
PART = {"model": "model_bytes", "compute": "compute_bytes"}
MIB = 2**20
PARTS = ("model_bytes", "context_bytes", "compute_bytes")
N_LETTERS = 12
LETTERS = ["--grammar", "root ::= [a-zA-Z]*"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models lie."""
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="session")
def llama_completion() -> str:
    """llama.cpp's program on the same engine."""
    found = sorted(REPOSITORY.glob("build/*/peers/completion/llama-completion"))
    return str(found[0]) if found else pytest.skip("llama-completion isn't built: run make peers")


def said_by(llama_completion: str, *words: str) -> str:
    """Return its text. It may end before its own log, which the text goes through, is written: seldom on one CPU."""
    command = [llama_completion, *words, "-no-cnv", "--no-warmup", "--no-display-prompt"]
    longest = ""
    for _ in range(30):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=True,
            env={"LD_LIBRARY_PATH": str(directory())}, preexec_fn=on_one_cpu,
        )  # fmt: skip
        said = done.stdout.decode("utf-8", "replace").replace("[end of text]", "").strip()
        longest = max(longest, said, key=len)
        if len(longest) >= N_LETTERS:
            break
    return longest


@pytest.mark.parametrize("kind", NO_TEXT)
def test_what_makes_no_text_is_refused(kind: str, folder: Path, llamactl: Run) -> None:
    done = llamactl("run", "-m", model_of(kind, folder), "--raw", "-n", "2", "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert NO_TEXT[kind] in done.stderr and "--embed" in done.stderr


def test_a_model_without_tokenizer_is_refused(folder: Path, llamactl: Run) -> None:
    """llama_tokenize asserts."""
    done = llamactl("run", "-m", model_of(WITHOUT_TOKENIZER, folder), "--raw", "-n", "2", "hi")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no tokenizer" in done.stderr
    done = llamactl("bench", "-m", model_of(WITHOUT_TOKENIZER, folder), "-p", "4", "-n", "2", "-r", "1", "-q")
    assert done.returncode == 0, done.stderr


def test_an_encoder_takes_more_tokens_than_a_batch(folder: Path, llamactl: Run) -> None:
    done = llamactl("run", "-m", model_of("t5", folder), "--raw", "-n", "2", "--json", "-q", "x" * 700)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]["ubatch-size"]["in_force"] >= 700


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("t5", "-p 64 -n 4", ""),
        ("t5", "-p 700 -n 0 -ub 700", ""),
        ("t5", "-p 700 -n 0", "-ub 700"),
        ("t5", "-p 0 -n 4 -d 8", "no depth"),
        ("bert", "-p 700 -n 0", "-ub 700"),
        ("bert", "-p 700 -n 0 -ub 700", ""),
        ("bert", "-p 0 -n 0 --embed 700", ""),
    ],
)
def test_encoders_are_measured_or_the_batch_is_named(
    kind: str, options: str, says: str, folder: Path, llamactl: Run
) -> None:
    done = llamactl("bench", "-m", model_of(kind, folder), "-r", "1", "-q", *options.split())
    assert (done.returncode == 0) == (not says), done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("kind", GENERATING)
@pytest.mark.parametrize(
    "options", ["-c 1024", "-c 2048 -b 256 -ub 64 -ctk f32 -fa off", "-c 1024 --swa-full"]
)
def test_memory_is_llama_completions(
    kind: str, options: str, folder: Path, llamactl: Run, llama_completion: str
) -> None:
    shared = ["-m", model_of(kind, folder), *options.split(), "-n", "1"]
    done = llamactl("run", *shared, "--raw", "--json", "-q", "hi")
    assert done.returncode == 0, done.stderr
    buffers = json.loads(done.stdout)["memory"]["buffers"]
    ours = {part: sum(row[part] for row in buffers) / MIB for part in PARTS}
    for _ in range(30):
        theirs = pytest.approx(buffers_of(llama_completion, *shared), abs=0.021)
        if ours == theirs:
            break
    assert ours == theirs


def buffers_of(llama_completion: str, *words: str) -> dict[str, float]:
    """Return the MiB that its log tells of, as far as it was written."""
    done = subprocess.run(
        [llama_completion, *words, "-p", "hi", "-no-cnv", "--no-warmup", "-fit", "off", "-lv", "4"],
        stdin=subprocess.DEVNULL, capture_output=True, check=True, preexec_fn=on_one_cpu,
        env={"LD_LIBRARY_PATH": str(directory())},
    )  # fmt: skip
    found = dict.fromkeys(PARTS, 0.0)
    for name, mib in BUFFER.findall((done.stderr + done.stdout).decode("utf-8", "replace")):
        found[PART.get(name, "context_bytes")] += float(mib)
    return found


@pytest.mark.parametrize("kind", GENERATING)
def test_the_rough_bound_is_one(kind: str, folder: Path) -> None:
    """Where it says that a context fits, the engine isn't asked."""
    path = model_of(kind, folder)
    for n_ctx in (512, 8192, 100_000):
        parameters = ContextParameters(n_ctx=n_ctx)
        needed = memory_needed(path, parameters)
        with Model(path) as model:
            assert needed.held_bytes <= at_most(model, parameters)


def test_inspect_and_run_decide_alike_within_a_group(folder: Path, llamactl: Run) -> None:
    """In a control group of 300 MiB: inspect and bench say what run says, and nothing is killed."""
    with control_group("memory") as group:
        limit = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        try:
            (group / limit).write_text(str(300 * MIB))
        except OSError as error:
            pytest.skip(f"the group takes no limit: {error}")
        inside = ("sh", "-c", f'echo $$ > {group / "cgroup.procs"} && exec "$@"', "sh")
        model, large = model_of("llama", folder), str(2**21)
        shown = llamactl("inspect", model, "-c", large, "--json", before=inside)
        needed = json.loads(shown.stdout)["model"]["memory_needed"]
        assert (needed["fits"], needed["limited_by"]) == (False, str(group / limit))
        refused = llamactl("run", "-m", model, "--raw", "-c", large, "-n", "1", "hi", before=inside)
        assert (refused.returncode, refused.stdout) == (125, "")
        assert str(group / limit) in refused.stderr
        measured = llamactl("bench", "-m", model, "-p", "0", "-n", "1", "-d", large, "-q", before=inside)
        assert measured.returncode == 125 and str(group / limit) in measured.stderr
        small = llamactl("run", "-m", model, "--raw", "-c", "512", "-n", "1", "-q", "hi", before=inside)
        assert small.returncode == 0, small.stderr


def test_a_context_nobody_asked_for_is_made_to_fit(folder: Path, llamactl: Run) -> None:
    path = folder / "long.gguf"
    from model_kinds import _decoder

    _decoder(path, context=2**21)
    with control_group("memory") as group:
        limit = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        try:
            (group / limit).write_text(str(300 * MIB))
        except OSError as error:
            pytest.skip(f"the group takes no limit: {error}")
        inside = ("sh", "-c", f'echo $$ > {group / "cgroup.procs"} && exec "$@"', "sh")
        done = llamactl("run", "-m", str(path), "--raw", "-n", "1", "--json", "hi", before=inside)
        assert done.returncode == 0, done.stderr
        assert "as many as fit into memory" in done.stderr
        assert 4096 <= json.loads(done.stdout)["settings"]["ctx-size"]["in_force"] < 2**21
        off = llamactl("run", "-m", str(path), "--raw", "-n", "1", "--fit", "off", "hi", before=inside)
        assert off.returncode == 125


@pytest.mark.parametrize(
    "options",
    [
        "--lora {lora}", "--lora-scaled {lora}:3.5", "--control-vector {vector}",
        "--control-vector-scaled {vector}:2 --control-vector-layer-range 1 2", "--rope-freq-base 100",
        "--rope-scaling linear --rope-scale 4", "--override-kv tokenizer.ggml.add_bos_token=bool:false",
        "--override-kv llama.attention.layer_norm_rms_epsilon=float:0.5", "--swa-full -ncmoe 1 -ot attn=CPU -nr",
        "-C 1 --cpu-strict 1 --poll 0 -t 1 -Cb 1 --poll-batch 1", "--no-op-offload --no-host -lzm off -fit off",
    ],
)  # fmt: skip
def test_the_text_is_llama_completions(
    options: str, folder: Path, llamactl: Run, llama_completion: str
) -> None:
    """What changes the answer changes it as there; the likeliest letter is taken, since it loses what isn't UTF-8."""
    lora, vector = folder / "lora.gguf", folder / "vector.gguf"
    words = options.format(lora=lora_for_llama(lora), vector=control_vector(vector)).split()
    shared = [
        "-m",
        model_of("llama", folder),
        "-c",
        "512",
        "-n",
        str(N_LETTERS),
        "--temp",
        "0",
        *LETTERS,
        *words,
    ]
    expected = said_by(llama_completion, *shared, "-p", "Hello there")
    done = llamactl("run", *shared, "-no-cnv", "-q", "Hello there")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--lora nowhere.gguf", "there is no such file"),
        ("--lora-scaled {lora}", "isn't FILE:SCALE"),
        ("--lora {vector}", "can't take the adapter"),
        ("--control-vector {narrow}", "has 32 values a layer, the model 64"),
        ("-dev CUDA9", "no such device"),
        ("-ot attn=CUDA9", "no device has buffers"),
        ("-ot (=CPU", "isn't a regular expression"),
        ("--override-kv a.b=int:x", "isn't of type int"),
        ("-C 0xffffffffff", "CPUs that this process may not use"),
        ("-Cr 5", "isn't a range"),
        ("--prio 9", "--prio 9 is unknown"),
        ("--rope-scale 0", "out of range"),
        ("-ts a,b", "isn't a list of numbers"),
        ("--fit maybe", "is unknown"),
    ],
)
def test_what_does_not_fit_is_one_line(options: str, says: str, folder: Path, llamactl: Run) -> None:
    files = {
        "lora": lora_for_llama(folder / "lora.gguf"),
        "vector": control_vector(folder / "vector.gguf"),
        "narrow": control_vector(folder / "narrow.gguf", 32),
    }
    words = options.format(**files).split()
    done = llamactl("run", "-m", model_of("llama", folder), "--raw", "-n", "1", "hi", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert says in done.stderr


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the rows of ``--embed``, each as its schema says."""
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for row in found:
        Draft202012Validator(schema("embedding")).validate(row)
    return found


@pytest.mark.parametrize(("kind", "pooling"), [("bert", "mean"), ("pooled", "last"), ("llama", "mean")])
def test_embeddings_are_rows(kind: str, pooling: str, folder: Path, llamactl: Run) -> None:
    """As the engine gives them for each text alone, of length 1; a text may be longer than a batch."""
    from llamactl.engine import Batch, Context

    path, texts = model_of(kind, folder), ["one", "two", "x" * 700, "one"]
    found = rows(llamactl("run", "--embed", "-m", path, "-f", "-", input="\n".join(texts)))
    assert [(row["index"], row["text"]) for row in found] == list(enumerate(texts))
    assert {row["pooling"] for row in found} == {pooling}
    assert found[0]["embedding"] == pytest.approx(found[3]["embedding"], abs=1e-5)
    with Model(path) as model:
        tokens = model.vocabulary.tokenize("two")
        assert found[1]["n_tokens"] == len(tokens)
        parameters = ContextParameters(n_ctx=len(tokens), embeddings=True, pooling=pooling)
        with Context(model, parameters) as context:
            batch = Batch(len(tokens))
            batch.add_sequence(tokens, output="all")
            context.decode(batch)
            values = np.array(context.sequence_embedding(0)[:])
    assert found[1]["embedding"] == pytest.approx(values / np.linalg.norm(values), abs=1e-4)


def test_a_model_that_ranks_gives_scores(folder: Path, llamactl: Run) -> None:
    path = model_of("reranker", folder)
    found = rows(llamactl("run", "--embed", "-m", path, "what is it\tit is this"))
    assert (found[0]["embedding"], list(found[0]["scores"])) == (None, ["score"])


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "there is no text"), ("x" * 3000, "the model takes 2048"), ("\n \n", "there is no text")],
)
def test_texts_that_cannot_be_embedded(text: str, says: str, folder: Path, llamactl: Run) -> None:
    """More tokens than BERT has positions for would end the engine."""
    done = llamactl("run", "--embed", "-m", model_of("bert", folder), "-f", "-", input=text)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr
