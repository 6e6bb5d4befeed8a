"""Sentences on what `trace/mechanisms/findings/device_calls.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text, counted, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _errors(f: Figures) -> Said:
    what = f", {f['what']}" if f["what"] else ""
    asked = f" for {byte_text(f['asked_bytes'])}" if f["asked_bytes"] else ""
    remedy = (
        "Ask for fewer layers (n_gpu_layers), a smaller context, or a KV cache of a smaller type; `llamactl inspect`"
        " says who else uses the device's memory."
        if f["out_of_memory"]
        else "`llamactl inspect` says what of the device and its driver is there."
    )
    return (
        f"{safe_text(f['function'])} failed {counted(f['calls'], 'time')}{asked}: the driver returned"
        f" {f['code']}{what}.",
        remedy,
    )


def _idle(f: Figures) -> Said:
    layers = f["layers_asked"]
    asked = "all layers" if layers is None or layers < 0 else counted(layers, "layer")
    return (
        f"{asked[0].upper()}{asked[1:]} asked for on the device, {', '.join(f['families'])} started, and no kernel was"
        " launched: the CPU computes.",
        "Compare the layers in force (`llamactl run --expect gpu-layers=all`).",
    )


def _waits(f: Figures) -> Said:
    return (
        f"The program waits for the device {f['waits_per_token']:.3g} times a token; waits in which there was nothing"
        f" to wait for take {time_text(f['short_waits_ns_per_token'])} of its {time_text(f['token_ns'])}.",
        "Each batch waits as often, however many tokens it has: decode several sequences at once.",
    )


def _pageable(f: Figures) -> Said:
    return (
        f"{byte_text(round(f['bytes_per_token']))} a token come from the device into memory that isn't pinned, and the"
        f" program stands still for {time_text(f['copy_ns_per_token'])} meanwhile.",
        "Let the context own its output buffer on the device's host memory (the default: no GGML_CUDA_NO_PINNED), or let"
        " llama.cpp sample.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.DEVICE_ERRORS: _errors,
    FindingKind.DEVICE_IDLE: _idle,
    FindingKind.DEVICE_WAITS: _waits,
    FindingKind.DEVICE_PAGEABLE: _pageable,
}
