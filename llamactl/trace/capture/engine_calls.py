"""Functions of llama.cpp and whisper.cpp by what they do, for those who record calls and those who report them."""

from __future__ import annotations

COMPUTE = (
    "llama_decode", "llama_encode", "llama_process", "whisper_full", "whisper_full_with_state",
    "whisper_full_parallel", "whisper_encode", "whisper_decode",
)  # fmt: skip
"""They compute with weights, as long as a batch takes."""

LOADS = ("llama_model_load_from_file", "llama_load_model_from_file", "llama_model_load_from_splits")
LOGITS = ("llama_get_logits", "llama_get_logits_ith")
VOCABULARY = ("llama_vocab_n_tokens", "llama_n_vocab")
"""They return how many tokens a vocabulary has."""
