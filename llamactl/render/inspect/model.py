"""A model as text of 80 columns."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from llamactl.render.columns import WIDTH, columns, shorten, wrapped
from llamactl.render.inspect.memory import file_system_text
from llamactl.render.safe import safe_text
from llamactl.render.units import size
from llamactl.snapshot.gguf.model import MetadataValue, ModelPart, ModelSnapshot, TensorInfo, Tokenizer

if TYPE_CHECKING:
    from llamactl.run.memory_needed import MemoryNeeded

SECTIONS: Final = ("model", "groups", "memory", "metadata", "template", "tensors")
USUAL: Final = ("model", "groups", "memory", "tensors")
"""What is shown when no section is named; the last two as far as they were asked for."""

_SHOWN_VALUE: Final = 200


def model_text(
    snapshot: ModelSnapshot, needed: MemoryNeeded | None = None, only: Collection[str] = ()
) -> str:
    """Return a model as text.

    Args:
        snapshot: The model.
        needed: What a context would need, if that was asked.
        only: Names of :data:`SECTIONS`; empty for the usual ones.
    """
    shown = only or USUAL
    blocks = {
        "model": _summary(snapshot),
        "groups": _groups(snapshot),
        "memory": _memory(needed),
        "metadata": _metadata(snapshot.metadata),
        "template": _template(snapshot),
        "tensors": _tensors(snapshot.tensors),
    }
    chosen = [blocks[name] for name in SECTIONS if name in shown]
    fault = [] if "model" in shown else _fault(snapshot)
    return "\n\n".join("\n".join(block) for block in (fault, *chosen) if block) + "\n"


def _summary(snapshot: ModelSnapshot) -> list[str]:
    title = f"model: {safe_text(snapshot.parts[0].path)}"
    rows = {
        "file": _file(snapshot.parts),
        "kind": _kind(snapshot),
        "name": snapshot.name,
        "architecture": _architecture(snapshot),
        "parameters": _parameters(snapshot),
        "context": None
        if snapshot.context_length is None
        else f"trained for {snapshot.context_length:,} tokens",
        "tokenizer": _tokenizer(snapshot.tokenizer),
        "chat template": _template_line(snapshot),
        "licence": snapshot.licence,
        "file system": _file_system(snapshot.parts),
        "page cache": _cache(snapshot.parts),
        "metadata": f"{len(snapshot.metadata)} entries (--only metadata)",
    }
    if snapshot.parts[0].version is None:  # of a file of another kind nothing else can be known
        rows = {name: rows[name] for name in ("file", "file system", "page cache")}
    lines = [shorten(title, WIDTH), *_fault(snapshot)]
    for name, value in rows.items():
        lines += wrapped(value or "unknown", first=f"  {name:<14} ", rest=" " * 17)
    return lines


def _kind(snapshot: ModelSnapshot) -> str:
    said = "" if snapshot.general_type is None else f" (general.type: {snapshot.general_type})"
    return f"{snapshot.kind}{said}"


def _fault(snapshot: ModelSnapshot) -> list[str]:
    fault = snapshot.fault
    if fault is None:
        return []
    where = "" if fault.path == snapshot.parts[0].path else f"{fault.path}: "
    return wrapped(f"not sound: {where}{fault.message}, at byte {fault.offset:,}", first="  ! ")


def _file(parts: tuple[ModelPart, ...]) -> str:
    total = size(sum(part.size_bytes for part in parts))
    if parts[0].version is None:
        return f"not GGUF, {total}"
    files = "" if len(parts) == 1 else f" in {len(parts)} files"
    tensors = f"{sum(part.n_tensors for part in parts):,} tensors"
    if any(part.data_offset is None for part in parts):
        tensors = "number of tensors unknown"
    return f"GGUF version {parts[0].version}, {total}{files}, {tensors}"


def _architecture(snapshot: ModelSnapshot) -> str | None:
    if snapshot.architecture is None:
        return None
    facts = [snapshot.architecture]
    facts += _fact(snapshot.block_count, "{:,} layers") + _fact(snapshot.embedding_length, "width {:,}")
    facts += _fact(_heads(snapshot.head_count), "{} heads") + _fact(
        _heads(snapshot.head_count_kv), "{} of K and V"
    )
    return ", ".join(facts + _fact(snapshot.expert_count, "{:,} experts"))


def _fact(value: object, form: str) -> list[str]:
    return [] if value is None else [form.format(value)]


def _heads(count: int | tuple[int, ...] | None) -> str | None:
    if isinstance(count, tuple):
        return f"{min(count)} to {max(count)}" if count else None
    return None if count is None else str(count)


def _parameters(snapshot: ModelSnapshot) -> str | None:
    if snapshot.parameters is None:
        return None
    text = f"{_count(snapshot.parameters)} in {size(snapshot.weight_bytes)}"
    if snapshot.weight_bytes and snapshot.parameters:
        text += f", {snapshot.weight_bytes * 8 / snapshot.parameters:.2f} bits each"
    return text + (f"; quantised as {snapshot.file_type}" if snapshot.file_type else "")


def _count(number: int) -> str:
    for unit, name in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return str(number)


def _tokenizer(tokenizer: Tokenizer) -> str | None:
    if tokenizer.model is None and tokenizer.vocabulary is None:
        return None
    facts = [tokenizer.model or "unknown kind"]
    facts += _fact(tokenizer.pre, "split by {}") + _fact(tokenizer.vocabulary, "{:,} tokens")
    facts += _fact(tokenizer.merges, "{:,} merges")
    return ", ".join([*facts, *(f"{role} {number}" for role, number in tokenizer.special.items())])


def _template_line(snapshot: ModelSnapshot) -> str | None:
    if snapshot.chat_template is None:
        if snapshot.parts[0].data_offset is None:  # it may come after the fault
            return None
        return "none: a base model, or a template given with the prompt"
    further = f", further ones: {', '.join(snapshot.chat_templates)}" if snapshot.chat_templates else ""
    cut = " (the first of them: --only template)" if snapshot.chat_template_cut else " (--only template)"
    return f"{snapshot.chat_template_bytes or 0:,} bytes{cut}{further}"


def _file_system(parts: tuple[ModelPart, ...]) -> str:
    texts = dict.fromkeys(
        "unknown" if part.file_system is None else file_system_text(part.file_system).removeprefix("on ")
        for part in parts
    )
    return "; ".join(texts)


def _cache(parts: tuple[ModelPart, ...]) -> str:
    cached = [part.cached_bytes for part in parts]
    if None in cached:
        return "unknown: the kernel tells only the owner of a file, or who may write to it"
    in_memory, total = sum(each or 0 for each in cached), sum(part.size_bytes for part in parts)
    share = f"{100 * in_memory / total:.0f} %" if total else "0 %"
    text = f"{size(in_memory)} of {size(total)} in memory ({share}, {parts[0].cache_source})"
    evicted = sum(part.recently_evicted_bytes or 0 for part in parts)
    return text + (f"; {size(evicted)} dropped a short time ago" if evicted else "")


def _groups(snapshot: ModelSnapshot) -> list[str]:
    if not snapshot.groups:
        return []
    total = snapshot.weight_bytes or sum(group.nbytes or 0 for group in snapshot.groups)
    rows = [
        (
            group.part,
            group.type_name,
            f"{group.n_tensors:,}",
            _count(group.parameters),
            size(group.nbytes),
            "unknown" if group.nbytes is None or not total else f"{100 * group.nbytes / total:.0f} %",
        )
        for group in snapshot.groups
    ]
    header = ("part", "type", "tensors", "weights", "size", "share")
    return ["tensors by part and type", *columns(header, rows, right="  rrrr")]


def _memory(needed: MemoryNeeded | None) -> list[str]:
    if needed is None:
        return []
    title = (
        f"memory needed for a context of {needed.n_ctx:,} tokens "
        f"(K {needed.type_k}, V {needed.type_v}, batch {needed.n_batch:,}/{needed.n_ubatch:,})"
    )
    rows = [
        (
            device.device,
            size(device.weights_bytes),
            size(device.context_bytes),
            size(device.compute_bytes),
            size(device.total_bytes),
            size(device.free_bytes),
        )
        for device in needed.devices
    ]
    lines = wrapped(title, first="", rest="  ")
    lines += columns(
        ("device", "weights", "context", "compute", "together", "free now"), rows, right=" rrrrr"
    )
    for device in needed.devices:
        if device.device == "CPU":
            short = needed.fits is False
        else:
            short = device.free_bytes is not None and device.total_bytes > device.free_bytes
        if short:
            limit = f" ({needed.limited_by})" if device.device == "CPU" and needed.limited_by else ""
            lines += wrapped(
                f"{device.device} hasn't enough free{limit}: a smaller context (-c) or KV type", first="  ! "
            )
    if needed.layers_offloaded:
        lines.append("  {} of {} layers on GPUs".format(*needed.layers_offloaded))
    return lines


def _metadata(metadata: tuple[MetadataValue, ...]) -> list[str]:
    rows = [(_type(each), safe_text(each.key), safe_text(_value(each))) for each in metadata]
    width = max((len(kind) for kind, _, _ in rows), default=0)
    lines = [f"  {kind:<{width}}  {key:<36}  {value}" for kind, key, value in rows]
    return ["metadata", *(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines)]


def _type(value: MetadataValue) -> str:
    return value.type_name if value.count is None else f"{value.type_name}[{value.count:,}]"


def _value(value: MetadataValue) -> str:
    if value.value is None:
        return "not shown" if value.count is not None else "too long to show"
    return str(value.value)[:_SHOWN_VALUE]


def _template(snapshot: ModelSnapshot) -> list[str]:
    if snapshot.chat_template is None:
        return ["chat template: none"]
    lines = snapshot.chat_template.split("\n")
    cut = (
        [f"  … cut here: it has {snapshot.chat_template_bytes:,} bytes"] if snapshot.chat_template_cut else []
    )
    return ["chat template", *(f"  {safe_text(line)}" for line in lines), *cut]


def _tensors(tensors: tuple[TensorInfo, ...]) -> list[str]:
    if not tensors:
        return []
    rows = [
        (
            each.type_name,
            " x ".join(map(str, each.shape)),
            size(each.nbytes),
            "unknown" if each.file_offset is None else str(each.file_offset),
            _share(each),
            each.name,
        )
        for each in tensors
    ]
    header = ("type", "shape", "size", "offset", "cached", "tensor")
    return [f"{len(tensors):,} tensors", *columns(header, rows, right="  rrr")]


def _share(tensor: TensorInfo) -> str:
    """Whole pages are counted, so that a small tensor can seem to have more than its size."""
    if tensor.cached_bytes is None or not tensor.nbytes:
        return "unknown"
    return f"{100 * min(tensor.cached_bytes, tensor.nbytes) / tensor.nbytes:.0f} %"
