"""From the options of :mod:`llamactl.cli.run.engine_options` to what the engine takes. Call it inside a command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llamactl.cli.run.engine_options import AdapterOptions, PlacementOptions, PlaceOptions, RopeOptions
from llamactl.engine import overrides
from llamactl.engine.adapters import Scaled
from llamactl.engine.library import NUMA
from llamactl.engine.parameters import choose, switch
from llamactl.engine.threadpool import PRIORITIES, Place, cpus_of_mask, cpus_of_range
from llamactl.errors import UsageError
from llamactl.run.extras import Extras, Fitting

MOST_LAYERS = 4096


def placement(options: PlacementOptions) -> dict[str, Any]:
    """Return fields of :class:`llamactl.engine.ModelParameters`.

    Raises:
        UsageError: A value can't be read, or names what isn't there.
    """
    return {
        "devices": _devices(options.devices),
        "tensor_split": _shares(options.tensor_split),
        "kv_overrides": tuple(pair for row in options.override_kv for pair in overrides.parse_metadata(row)),
        "tensor_overrides": _tensors(options),
        "use_extra_bufts": options.repack,
        "no_host": options.no_host,
        "lazy_mode": switch(options.lazy_mode),
    }


def _devices(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return () if text == "none" else tuple(word.strip() for word in re.split("[,/]", text))


def _shares(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in re.split("[,/]+", text)) if text else ()
    except ValueError:
        raise UsageError(f"-ts {text!r} isn't a list of numbers", "Write such as 3,1.") from None


def _tensors(options: PlacementOptions) -> tuple[tuple[str, str], ...]:
    found = [pair for row in options.override_tensor for pair in overrides.parse_tensors(row)]
    if options.cpu_moe:
        found += overrides.on_cpu(overrides.EXPERTS)
    for option, count, pattern in (
        ("-ncmoe", options.n_cpu_moe, overrides.EXPERTS), ("-ncffn", options.n_cpu_ffn, overrides.DENSE)
    ):  # fmt: skip
        if not 0 <= count <= MOST_LAYERS:
            raise UsageError(f"{option} {count} is out of range", f"Use 0 to {MOST_LAYERS}.")
        found += overrides.on_cpu(pattern, count)
    return tuple(found)


def rope(options: RopeOptions) -> dict[str, Any]:
    """Return fields of :class:`llamactl.engine.ContextParameters`.

    Raises:
        UsageError: A value is out of range.
    """
    scale = options.rope_freq_scale
    if options.rope_scale is not None:
        if not options.rope_scale > 0:
            raise UsageError(f"--rope-scale {options.rope_scale:g} is out of range", "Use a number above 0.")
        scale = 1.0 / options.rope_scale
    if options.rope_scaling not in {None, "none", "linear", "yarn"}:
        raise UsageError(f"--rope-scaling {options.rope_scaling!r} is unknown", "Use none, linear or yarn.")
    return {
        "swa_full": options.swa_full,
        "op_offload": options.op_offload,
        "rope_scaling": options.rope_scaling or "unspecified",
        "rope_freq_base": options.rope_freq_base,
        "rope_freq_scale": scale,
        "yarn_orig_ctx": options.yarn_orig_ctx,
        "yarn_ext_factor": options.yarn_ext_factor,
        "yarn_attn_factor": options.yarn_attn_factor,
        "yarn_beta_slow": options.yarn_beta_slow,
        "yarn_beta_fast": options.yarn_beta_fast,
    }


def extras(adapters: AdapterOptions, places: PlaceOptions, fitting: PlacementOptions) -> Extras:
    """Return the rest.

    Raises:
        UsageError: A value can't be read, or a file isn't there.
    """
    place = _place(places)
    if places.numa is not None:
        choose("--numa", places.numa or "distribute", NUMA)
    return Extras(
        adapters=_scaled("--lora", adapters.lora, adapters.lora_scaled),
        control_vectors=_scaled("--control-vector", adapters.control_vector, adapters.control_vector_scaled),
        control_layers=adapters.control_vector_layers,
        place=place,
        place_of_batch=_place_of_batch(places, place),
        fitting=_fitting(fitting),
    )


def _scaled(option: str, plain: Sequence[str], with_scale: Sequence[str]) -> tuple[Scaled, ...]:
    found = [Scaled(path) for row in plain for path in overrides.words(row)]
    for item in (item for row in with_scale for item in overrides.words(row)):
        path, colon, scale = item.rpartition(":")
        try:
            found.append(Scaled(path, float(scale)))
        except ValueError:
            colon = ""
        if not colon:
            raise UsageError(f"{option}-scaled {item!r} isn't FILE:SCALE", "Write such as adapter.gguf:0.5.")
    for one in found:
        if not Path(one.path).is_file():
            raise UsageError(f"{option} {one.path!r}: there is no such file", "Check the path.")
    return tuple(found)


def _place(options: PlaceOptions) -> Place:
    return Place(
        _cpus(options.cpu_mask, options.cpu_range),
        _flag("--cpu-strict", options.cpu_strict),
        _priority("--prio", options.prio),
        _poll("--poll", options.poll),
    )


def _place_of_batch(options: PlaceOptions, single: Place) -> Place:
    changed: dict[str, Any] = {}
    if cpus := _cpus(options.cpu_mask_batch, options.cpu_range_batch):
        changed["cpus"] = cpus
    for name, option, value, check in (
        ("strict", "--cpu-strict-batch", options.cpu_strict_batch, _flag),
        ("priority", "--prio-batch", options.prio_batch, _priority),
        ("poll", "--poll-batch", options.poll_batch, _poll),
    ):
        if value is not None:
            changed[name] = check(option, value)
    return replace(single, **changed)


def _cpus(mask: str | None, span: str | None) -> frozenset[int]:
    found = cpus_of_mask(mask) if mask else frozenset()
    return found | cpus_of_range(span) if span else found


def _flag(option: str, value: int) -> bool:
    if value not in {0, 1}:
        raise UsageError(f"{option} {value} is unknown", "Use 0 or 1.")
    return value == 1


def _priority(option: str, value: int) -> int:
    if value not in PRIORITIES:
        raise UsageError(f"{option} {value} is unknown", f"Choose one of: {', '.join(map(str, PRIORITIES))}.")
    return value


def _poll(option: str, value: int) -> int:
    if not 0 <= value <= 100:
        raise UsageError(f"{option} {value} is out of range", "Use 0 to 100.")
    return value


def _fitting(options: PlacementOptions) -> Fitting | None:
    mode = switch(options.fit)
    if mode not in {"on", "off"}:
        raise UsageError(f"--fit {options.fit!r} is unknown", "Use on or off.")
    try:
        margins = tuple(int(word) << 20 for word in re.split("[,/]+", options.fit_target))
    except ValueError:
        margins = (-1,)
    if min(margins) < 0:
        raise UsageError(f"--fit-target {options.fit_target!r} isn't a list of MiB", "Write such as 1024.")
    if not 0 <= options.fit_ctx < 1 << 31:
        raise UsageError(f"--fit-ctx {options.fit_ctx} is out of range", "Use 0 or more.")
    return Fitting(margins, options.fit_ctx) if mode == "on" else None
