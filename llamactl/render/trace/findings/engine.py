"""Sentences on what `trace/mechanisms/findings/engine.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.gpu.gpu_calls import GpuReason
from llamactl.trace.mechanisms.gpu.left import Why

GPU_REASONS = {
    GpuReason.REFUSED: "opening a device was refused (is the user in the groups video and render?)",
    GpuReason.NO_LAYERS: "no layers were asked for (n_gpu_layers is 0)",
    GpuReason.NO_DRIVER: "the driver's library wasn't found (libcuda and its like)",
    GpuReason.NO_BACKEND: "no GPU backend was loaded: this llama.cpp is built for the CPU",
}


def _gpu(f: Figures) -> Said:
    nodes = ", ".join(map(safe_text, f["device_nodes"][:2]))
    why = " and ".join(GPU_REASONS[GpuReason(one)] for one in f.get("why", ()))
    return (
        f"The machine has {nodes}, the program opened none: it computes on the CPU"
        f"{': ' + why if why else ''}.",
        "Build or install the binding for the GPU; `llamactl inspect` says what is missing.",
    )


LEFT = {
    Why.REPLACED: "when another model was loaded, and isn't used since",
    Why.FREED: "when the model was freed",
}


def _left(f: Figures) -> Said:
    kinds = ", ".join(f["kinds"])
    return (
        f"{byte_text(f['bytes'])} on {safe_text(f['device'])} ({kinds}) stayed {LEFT[Why(f['why'])]}: something still"
        " refers to it.",
        "Free it before: close the object (llama-cpp-python: llm.close()), or delete every reference and call"
        " gc.collect().",
    )


def _wrong_library(f: Figures) -> Said:
    return (
        f"The binding has {safe_text(f['own'])}, loaded is {safe_text(f['loaded'])}.",
        "If that wasn't meant, look at LD_LIBRARY_PATH and the binding's own settings.",
    )


def _copies(f: Figures) -> Said:
    listed = ", ".join(safe_text(path) for path in f["libraries"][:3])
    return (
        f"{len(f['libraries'])} copies of llama.cpp are loaded ({listed}).",
        "Keep one: they don't share models.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.GPU_UNUSED: _gpu,
    FindingKind.DEVICE_MEMORY_LEFT: _left,
    FindingKind.WRONG_LIBRARY: _wrong_library,
    FindingKind.ENGINE_COPIES: _copies,
}
