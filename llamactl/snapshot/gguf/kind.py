"""What a GGUF file holds: a model, or one of the other things that come in this format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llamactl.snapshot.gguf.header import GgufFile

MODEL: Final = "model"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a GGUF file holds.

    Attributes:
        name: ``model``, ``adapter``, ``control vector``, ``projector``, ``imatrix`` or ``vocabulary``.
        what: The same as a noun with its article, and of which architecture.
        use: What to do with it, as a sentence.
    """

    name: str
    what: str = "a model"
    use: str = ""


def kind_of(file: GgufFile) -> Kind:
    """Return what a GGUF file holds, by ``general.type``, ``general.architecture`` and its tensors.

    As llama.cpp's converters write them (``gguf-py/gguf/constants.py``, ``GGUFType``) and its programs read them.
    """
    kind, architecture = file.get("general.type"), file.get("general.architecture")
    if kind == "adapter" or "adapter.type" in file.metadata:
        said = file.get("adapter.type")
        what = "a LoRA adapter" if said in {None, "lora"} else f"an adapter of type {said}"
        return Kind(
            "adapter", f"{what}{_for(architecture)}", "Give the model it belongs to: -m MODEL --lora ADAPTER."
        )
    if architecture == "controlvector":
        hint = file.get("controlvector.model_hint")
        return Kind(
            "control vector", f"a control vector{_for(hint)}",
            "Give the model it belongs to: -m MODEL --control-vector FILE.",
        )  # fmt: skip
    if kind == "mmproj" or architecture == "clip":
        return Kind(
            "projector", "a projector, which turns images or sound into embeddings for a model",
            "It generates nothing by itself: give the model it belongs to with -m.",
        )  # fmt: skip
    if kind == "imatrix" or "imatrix.chunk_count" in file.metadata:
        return Kind(
            "imatrix", "an importance matrix", "llama-quantize reads it; give the model that it was made of."
        )
    if file.n_tensors == 0 and file.fault is None:
        what = (
            "a vocabulary without weights"
            if "tokenizer.ggml.model" in file.metadata
            else "metadata without weights"
        )
        return Kind("vocabulary", f"{what}{_for(architecture)}", "Give a file that has the weights.")
    return Kind(MODEL)


def _for(architecture: object) -> str:
    return f" for {architecture} models" if isinstance(architecture, str) and architecture else ""
