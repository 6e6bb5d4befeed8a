"""Memory and mappings of a process as text."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.process.files.mounts import FileSystem
from llamactl.render.columns import columns, wrapped
from llamactl.render.safe import safe_text
from llamactl.render.units import size
from llamactl.snapshot.process.mappings import Mapping
from llamactl.snapshot.process.memory import Memory, ModelMemory


def memory_lines(memory: Memory | None, *, brief: bool = False) -> list[str]:
    """Return where the memory is, by role, and where the model is; ``brief`` leaves out details."""
    if memory is None:
        return []
    sums = [
        f"{size(memory.resident_bytes)} resident",
        f"{size(memory.private_bytes)} private",
        f"{size(memory.shared_bytes)} shared",
        f"{size(memory.pss_bytes)} its share (PSS)",
        f"{size(memory.droppable_bytes)} the kernel can drop",
    ]
    sums += [f"{size(memory.swap_bytes)} swapped"] if memory.swap_bytes else []
    sums += [f"{size(memory.locked_bytes)} locked"] if memory.locked_bytes else []
    sums += [f"{size(memory.huge_bytes)} in huge pages"] if memory.huge_bytes else []
    rows = [
        (total.role, str(total.count), size(total.size_bytes), size(total.resident_bytes),
         size(total.private_bytes), size(total.pss_bytes))
        for total in memory.roles
        if total.resident_bytes or not brief
    ]  # fmt: skip
    lines = ["Memory", *wrapped(", ".join(sums), rest="  ")]
    lines += columns(("role", "mappings", "size", "resident", "private", "PSS"), rows, right="lrrrrr")
    lines += [] if brief else _buffers(memory)
    for model in memory.models:
        lines += _model(model, brief=True) if brief else ["", *_model(model)]
    return lines


def _buffers(memory: Memory) -> list[str]:
    lines = []
    for buffer in memory.buffers:
        if buffer.role != "unknown":
            name = {"kv": "KV cache", "weights": "private weights"}[buffer.role]
            lines += wrapped(f"{name}: {size(buffer.size_bytes)} at {buffer.address:x}, {buffer.evidence}")
    unknown = [buffer.size_bytes for buffer in memory.buffers if buffer.role == "unknown"]
    if unknown:
        lines += wrapped(
            f"{len(unknown)} other buffers of 1 MiB and more, {size(sum(unknown))}: what for is unknown"
        )
    return lines


def _model(model: ModelMemory, *, brief: bool = False) -> list[str]:
    lines = wrapped(f"Model {model.path}{' (deleted)' if model.deleted else ''}", first="", rest="  ")
    cached = f"{size(model.cached_bytes)} in the page cache" + (
        f" ({model.cache_source})" if model.cache_source else ""
    )
    in_memory = model.file_system is not None and model.file_system.in_memory
    facts = [f"file {size(model.size_bytes)}", *([] if in_memory else [cached])]
    if model.file_system is not None:
        facts.insert(1, file_system_text(model.file_system))
    if model.mapped_bytes:
        facts += [
            f"mapped {size(model.mapped_bytes)}",
            f"of it {size(model.resident_bytes)} resident here"
            f" ({100 * model.resident_bytes / model.mapped_bytes:.0f} %)",
            f"{size(model.shared_bytes)} shared",
            f"{size(model.locked_bytes)} locked" if model.locked_bytes else "not locked",
            *([] if in_memory else [f"{size(model.droppable_bytes)} the kernel can drop"]),
        ]
    else:
        facts.append("not mapped")
    if model.private_copy_bytes:
        facts.append(f"{size(model.private_copy_bytes)} copied to private memory")
    lines += wrapped(", ".join(facts), rest="  ")
    for part in () if brief else model.parts:
        tensors = part.tensors
        names = f"{tensors.count} tensors, {tensors.first} … {tensors.last}" if tensors else "tensors unknown"
        lines += wrapped(
            f"{part.address:x}: bytes {part.file_offset:,} to {part.file_offset + part.size_bytes:,}, {names}"
        )
    for other in () if brief else model.sharers:
        lines += wrapped(
            f"also mapped by {other.pid} {other.name}, {size(other.resident_bytes)} resident there"
        )
    return lines


def file_system_text(place: FileSystem) -> str:
    """Say what a file lies on, and what that means for its pages."""
    if not place.in_memory:
        return f"on {safe_text(place.kind)}"
    swapped = "only swapped" if place.swappable else "nor swapped"
    return f"on {safe_text(place.kind)}: in memory already, its pages can't be dropped, {swapped}"


def mapping_lines(mappings: Sequence[Mapping] | None) -> list[str]:
    """Return every mapping on a line."""
    if mappings is None:
        return []
    rows = [
        (f"{m.start:x}", m.permissions, size(m.size_bytes), size(m.resident_bytes), m.role,
         " ".join(filter(None, (m.path, "(deleted)" if m.deleted else "", m.detail))))
        for m in mappings
    ]  # fmt: skip
    header = ("address", "mode", "size", "resident", "role", "file or detail")
    return [f"{len(rows)} mappings", *columns(header, rows, right="llrrll", width=0)]
