"""Options of llama.cpp's programs that a command doesn't have: what to use instead, by every name they go by."""

from __future__ import annotations

from typing import Final

_DRAFT = "No draft model and no speculative decoding here: leave it out; the text is the same without."
_IMAGES = "Text alone is computed here, no images and no sound: llama-mtmd-cli takes them."
_LOG = "The engine's log is as it is: -v shows it on stderr, 2> FILE keeps it."
_ONE = "One prompt is one run, without a dialogue: leave it out, and call it again for the next turn."
_GONE = "It is no option of llama.cpp any more: leave it out."
_MEASURE = "It isn't measured here: leave it out."

_RUN: Final = {
    "-cl --cache-list": "llamactl lists no caches: hf cache ls does.",
    "--completion-bash": "llamactl --install-completion sets completion up.",
    "--usage": "--help shows all options.",
    "--version": "llamactl --version shows all versions.",
    "--server-base --server": "The engine runs in this process, not behind a server: leave it out.",
    "-co --color": "The text has no colours: leave it out.",
    "--display-prompt --verbose-prompt": "--show-prompt shows the prompt as it is computed, --tokens its tokens.",
    "-sysf --system-prompt-file": "--system takes the text: --system \"$(cat FILE)\".",
    "-bs --backend-sampling": "Tokens are chosen on the CPU: leave it out.",
    "--reasoning-format --reasoning-preserve --no-reasoning-preserve": "--json has thoughts and answer apart.",
    "--skip-chat-parsing --no-skip-chat-parsing": "--json has thoughts and answer apart.",
    "--keep": "Nothing is shifted out of the context, its end ends the run: leave it out, or take a larger -c.",
    "--context-shift": "Nothing is shifted out of the context, its end ends the run: take a larger -c.",
    "-ctxcp --ctx-checkpoints --swa-checkpoints -cram --cache-ram": "Nothing is kept between runs: leave it out.",
    "--prompt-cache --prompt-cache-all --prompt-cache-ro": "No prompt is kept between runs: leave it out.",
    "-bf --binary-file": "A prompt is UTF-8 text: give it with -f.",
    "--in-file": "Give the prompt with -f.",
    "-ptc --print-token-count": "--jsonl tells each piece of text, --json the number of tokens.",
    "-sp --special": "Control tokens have no text: leave it out.",
    "-i --interactive -if --interactive-first -ins --instruct -mli --multiline-input": _ONE,
    "--chatml --interactive-specials": _ONE,
    "--in-prefix-bos --in-prefix --in-suffix": "Write it into the prompt; without a template by --raw.",
    "--warmup": "run measures what a first request takes; llamactl bench warms up.",
    "-gan --grp-attn-n -gaw --grp-attn-w": "Group attention isn't done; --rope-scaling yarn stretches the context, too.",
    "-dt --defrag-thold": "It does nothing in llama.cpp any more: leave it out.",
    "--list-devices": "llamactl inspect --only engine shows the devices.",
    "-mu --model-url": "Download it, then -m FILE; from Hugging Face -hf fetches.",
    "-dr --docker-repo": "Download it, then -m FILE; from Hugging Face -hf fetches.",
    "-hft --hf-token": "Set HF_TOKEN: a command line is seen by everybody on the machine.",
    "-np --parallel -ns --sequences": "One run makes one text; llamactl bench -np measures several side by side.",
    "--log-file --log-jsonl --no-log-jsonl --log-prompts-dir --log-colors --log-prefix --no-log-prefix": _LOG,
    "--log-timestamps --no-log-timestamps -lv --verbosity --log-verbosity --log-enable --log-append": _LOG,
    "--show-timings": "The figures are shown anyway: leave it out.",
    "--no-show-timings": "-q shows no figures.",
    "-mm --mmproj -mmproj -mmu --mmproj-url --mmproj-offload --no-mmproj-offload --mmproj-auto": _IMAGES,
    "--image --audio --video --image-min-tokens --image-max-tokens": _IMAGES,
    "--video-fps --video-timestamp-interval --video-ffmpeg-dir": _IMAGES,
    "--vision-gemma-4b-default --vision-gemma-12b-default": _IMAGES,
    "-o --output --output-file": "The text is on stdout: > FILE keeps it.",
    "--no-jinja": "Templates are rendered as Jinja always; --raw does without any.",
    "-md --model-draft -hfd -hfrd --hf-repo-draft -td --threads-draft -tbd --threads-batch-draft": _DRAFT,
    "-Cd --cpu-mask-draft -Crd --cpu-range-draft --cpu-strict-draft --prio-draft --poll-draft": _DRAFT,
    "-Cbd --cpu-mask-batch-draft -Crbd --cpu-range-batch-draft --cpu-strict-batch-draft --prio-batch-draft": _DRAFT,
    "--poll-batch-draft -ctkd --cache-type-k-draft -ctvd --cache-type-v-draft -otd --override-tensor-draft": _DRAFT,
    "-cmoed --cpu-moe-draft -ncmoed --n-cpu-moe-draft -devd --device-draft -ngld --gpu-layers-draft": _DRAFT,
    "--n-gpu-layers-draft --draft-p-split --draft-p-min --draft --draft-n --draft-max --draft-min --draft-n-min": _DRAFT,
    "--gpt-oss-20b-default --gpt-oss-120b-default -cd --ctx-size-draft": _DRAFT,
    "-lcs --lookup-cache-static -lcd --lookup-cache-dynamic": _DRAFT,
    "--no-mmap": "-lm none reads the file instead of mapping it.",
    "--mmap -mmap": "-lm mmap maps the file; it is so without, too, where a device can take it.",
    "--mlock": "-lm mmap+mlock maps the file and locks it.",
    "-dio --direct-io": "-lm dio reads the file past the page cache.",
    "-nommq --no-mul-mat-q --memory-f32 --low-vram -lowvram -eps -gqa": _GONE,
    "--penalize-nl --no-penalize-nl --tfs --cfg-scale --cfg-negative-prompt": _GONE,
    "--perplexity --hellaswag --kl-divergence": "run generates text: llama-perplexity does that.",
    "--embedding --embeddings": "--embed makes embeddings.",
    "--port --host --api-key --ssl-key-file --ssl-cert-file": "run serves nobody: llama-server does.",
}  # fmt: skip

_PLACED = "bench places weights as usual; llamactl run has it, and its --json tells tokens per second."
_BENCH: Final = {
    "--version": "llamactl --version shows all versions.",
    "-ncmoe --n-cpu-moe -ot --override-tensor -ts --tensor-split -dev --device -nopo --no-op-offload": _PLACED,
    "--no-host --repack -lzm --lazy-mode --cpu-strict --poll": _PLACED,
    "--list-devices": "llamactl inspect --only engine shows the devices.",
    "-v --verbose": "llamactl run -v shows the engine's log of the same model.",
    "-hft --hf-token": "Set HF_TOKEN: a command line is seen by everybody on the machine.",
    "-mmp --mmap": "-lm mmap or -lm none says whether the file is mapped.",
    "--no-mmap": "-lm none reads the file instead of mapping it.",
    "--mlock": "-lm mmap+mlock maps the file and locks it.",
    "-dio --direct-io": "-lm dio reads the file past the page cache.",
    "-tb --threads-batch": "-t sets the threads of prompts, too; measure -p and -n in two calls for other ones.",
    "-c --ctx-size": "The context is as large as a test needs; -d fills it before.",
    "-fitt --fit-target -fitc --fit-ctx -fit --fit": "What is measured has the settings that it says: use -ngl.",
    "-rpc": "--rpc names the workers.",
    "-s --seed --temp": "Tokens are random and the same every time; nothing is sampled: leave it out.",
    "-f --file --prompt": "-p is a number of tokens, which are random: leave the text out.",
    "--output-format": "-o chooses the format.",
    "-sp --special --log-disable --color --simple-io": _MEASURE,
    "--gpu": "-ngl is the number of layers on the GPU.",
}  # fmt: skip


def _by_name(groups: dict[str, str]) -> dict[str, str]:
    return {name: sentence for names, sentence in groups.items() for name in names.split()}


INSTEAD: Final = {"run": _by_name(_RUN), "bench": _by_name(_BENCH)}
"""By command, and by option: a sentence with what to use."""


def instead(command: str, option: str) -> str:
    """Return what to use instead of an option of llama.cpp's programs; empty for an option of none of them."""
    if command == "run" and option.removeprefix("--no-").removeprefix("--").startswith("spec-"):
        return _DRAFT
    return INSTEAD.get(command, {}).get(option, "")
