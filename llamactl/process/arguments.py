"""Command lines as they may be shown: the prompt of ``llamactl run`` isn't one of them.

A prompt is somebody's text. It stands in the arguments of the process, but in no output of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

HIDDEN = "<hidden>"
"""What stands for a word that isn't shown."""

TEXTS = frozenset(
    """-p --prompt -sys --system --system-prompt -r --stop --reverse-prompt --grammar -j --json-schema
    --chat-template --chat-template-kwargs --reasoning-budget-message --dry-sequence-breaker""".split()
)
"""Options of ``llamactl run`` whose value is text of the user's."""

VALUES = frozenset(
    """-f --file -n --predict --n-predict -m --model -hf -hfr --hf-repo -hff --hf-file -lm --load-mode -lzm --lazy-mode
    -ngl --gpu-layers --n-gpu-layers -mg --main-gpu -sm --split-mode -ts --tensor-split -dev --device
    -ot --override-tensor -ncmoe --n-cpu-moe -ncffn --n-cpu-ffn --override-kv -fit --fit -fitt --fit-target
    -fitc --fit-ctx --rpc -t --threads -tb --threads-batch -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll
    -Cb --cpu-mask-batch -Crb --cpu-range-batch --cpu-strict-batch --prio-batch --poll-batch --numa
    -c --ctx-size -b --batch-size -ub --ubatch-size -fa --flash-attn -ctk --cache-type-k -ctv --cache-type-v
    --rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx --yarn-ext-factor
    --yarn-attn-factor --yarn-beta-slow --yarn-beta-fast --lora --lora-scaled --control-vector
    --control-vector-scaled --control-vector-layer-range --pooling --chat-template-file -rea --reasoning
    --reasoning-effort --reasoning-budget --samplers --sampler-seq --sampling-seq --temp --temperature -s --seed
    --top-k --top-p --min-p --typical --typical-p --top-nsigma --top-n-sigma --xtc-probability --xtc-threshold
    --dynatemp-range --dynatemp-exp --adaptive-target --adaptive-decay --repeat-last-n --repeat-penalty
    --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n
    --mirostat --mirostat-ent --mirostat-lr -l --logit-bias --grammar-file -jf --json-schema-file --expect""".split()
)
"""Options of ``llamactl run`` whose value is a number, a name or a file."""

_OPTION = re.compile(r"--?[A-Za-z][A-Za-z-]*")
_ATTACHED = re.compile(r"-[A-Za-z]-?[0-9.]+")
_IN_ONE_WORD = re.compile(r"llamactl\S*\s(.*\s)?run\b", re.DOTALL)
"""The command line of a shell, which is one word."""


def without_prompts(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command line with every text that ``llamactl run`` was given replaced by :data:`HIDDEN`.

    Also behind other programs (``timeout 9 llamactl run …``), and in a shell's ``-c``. What isn't known to be
    harmless is hidden.

    Args:
        words: The arguments, the program first.
    """
    shown: list[str] = []
    for index, word in enumerate(words):
        if word == "run" and any(map(_is_llamactl, words[:index])):
            return (*shown, word, *_shown(words[index + 1 :]))
        shown.append(HIDDEN if _IN_ONE_WORD.search(word) else word)
    return tuple(shown)


def _is_llamactl(word: str) -> bool:
    return (
        word.rpartition("/")[2] == "llamactl"
        or "llamactl.cli" in word
        or word.endswith("llamactl/__main__.py")
    )


def _shown(words: Iterable[str]) -> Iterable[str]:
    before = ""
    only_texts = False
    for word in words:
        name, equals, value = word.partition("=")
        if only_texts or before in TEXTS:
            yield HIDDEN
        elif word == "--":
            only_texts = True
            yield word
        elif before in VALUES or _ATTACHED.fullmatch(word):
            yield word
        elif _OPTION.fullmatch(word):
            # A text may follow its letter in one word: -rEND.
            yield word if word in TEXTS | VALUES or word[:2] not in TEXTS else HIDDEN
        elif equals and name in VALUES | TEXTS:
            yield f"{name}={HIDDEN if name in TEXTS else value}"
        else:
            yield HIDDEN
        before = "" if before in VALUES | TEXTS else word
