"""Sums over the mappings that answer "is the model in memory?" and "what would the kernel drop?"."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llamactl.process import proc_pid
from llamactl.process.answering import ask
from llamactl.process.files.mounts import FileSystem, file_system_of
from llamactl.process.files.sharers import Sharer, find_sharers
from llamactl.snapshot.process.buffers import Buffer
from llamactl.snapshot.process.mappings import Mapping
from llamactl.snapshot.process.model_files import ModelHeader, TensorRange


@dataclass(frozen=True, slots=True)
class RoleTotal:
    """All mappings of one role, in bytes."""

    role: str
    count: int
    size_bytes: int
    resident_bytes: int
    pss_bytes: int
    private_bytes: int
    swap_bytes: int


@dataclass(frozen=True, slots=True)
class MappedPart:
    """One mapping of a model and the tensors in it; None where the header couldn't be read."""

    address: int
    file_offset: int
    size_bytes: int
    resident_bytes: int
    tensors: TensorRange | None


@dataclass(frozen=True, slots=True)
class ModelMemory:
    """One model file and where its weights are.

    ``cached_bytes`` are in the page cache, whoever put them there (None: the kernel doesn't tell us, and
    ``cache_source`` is empty); ``resident_bytes`` of the mapped ones are in this process's page tables;
    ``private_copy_bytes`` are buffers of this process as large as the weights; ``shared_bytes`` are
    resident and also mapped by somebody else; ``file_system`` is None where the kernel doesn't tell.
    """

    path: str
    deleted: bool
    size_bytes: int | None
    mapped_bytes: int
    resident_bytes: int
    pss_bytes: int
    shared_bytes: int
    locked_bytes: int
    swap_bytes: int
    droppable_bytes: int
    cached_bytes: int | None
    cache_source: str
    file_system: FileSystem | None
    private_copy_bytes: int
    parts: tuple[MappedPart, ...]
    sharers: tuple[Sharer, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a process in bytes; ``droppable_bytes`` are clean, not locked pages of files."""

    size_bytes: int
    resident_bytes: int
    pss_bytes: int
    private_bytes: int
    shared_bytes: int
    file_mapped_bytes: int
    anonymous_bytes: int
    huge_bytes: int
    swap_bytes: int
    locked_bytes: int
    droppable_bytes: int
    roles: tuple[RoleTotal, ...]
    models: tuple[ModelMemory, ...]
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as the process knows it: its path there, where we can read it, and its header."""

    path: str
    readable: str
    header: ModelHeader | None


def sum_memory(
    pid: int, mappings: Sequence[Mapping], models: Iterable[ModelFile], buffers: Sequence[Buffer]
) -> Memory:
    """Return the sums over the mappings of a process."""
    resident = sum(m.resident_bytes for m in mappings)
    anonymous = sum(m.anonymous_bytes for m in mappings)
    return Memory(
        size_bytes=sum(m.size_bytes for m in mappings),
        resident_bytes=resident,
        pss_bytes=sum(m.pss_bytes for m in mappings),
        private_bytes=sum(map(_private, mappings)),
        shared_bytes=sum(m.shared_clean_bytes + m.shared_dirty_bytes for m in mappings),
        file_mapped_bytes=sum(m.resident_bytes - m.anonymous_bytes for m in mappings if m.inode),
        anonymous_bytes=anonymous,
        huge_bytes=sum(m.huge_bytes for m in mappings),
        swap_bytes=sum(m.swap_bytes for m in mappings),
        locked_bytes=sum(m.locked_bytes for m in mappings),
        droppable_bytes=sum(map(_droppable, mappings)),
        roles=tuple(_by_role(mappings)),
        models=tuple(_model(pid, model, mappings, buffers) for model in models),
        buffers=tuple(buffers),
    )


def _private(mapping: Mapping) -> int:
    return mapping.private_clean_bytes + mapping.private_dirty_bytes


def _droppable(mapping: Mapping) -> int:
    """Return what the kernel can take back without writing: clean pages of a file, not locked."""
    if not mapping.inode or mapping.locked_bytes or mapping.role == "shared memory":
        return 0
    # A private copy of a file's page is anonymous, even where it is reported as clean.
    return max(mapping.shared_clean_bytes + mapping.private_clean_bytes - mapping.anonymous_bytes, 0)


def _by_role(mappings: Sequence[Mapping]) -> list[RoleTotal]:
    groups: dict[str, list[Mapping]] = {}
    for mapping in mappings:
        groups.setdefault(mapping.role, []).append(mapping)
    totals = [_total(role, group) for role, group in groups.items()]
    return sorted(totals, key=lambda total: (-total.resident_bytes, total.role))


def _total(role: str, group: Sequence[Mapping]) -> RoleTotal:
    return RoleTotal(
        role=role,
        count=len(group),
        size_bytes=sum(m.size_bytes for m in group),
        resident_bytes=sum(m.resident_bytes for m in group),
        pss_bytes=sum(m.pss_bytes for m in group),
        private_bytes=sum(map(_private, group)),
        swap_bytes=sum(m.swap_bytes for m in group),
    )


def _model(pid: int, model: ModelFile, mappings: Sequence[Mapping], buffers: Sequence[Buffer]) -> ModelMemory:
    own = [mapping for mapping in mappings if mapping.path == model.path and mapping.role == "weights"]
    size, cached, source = _cached(model.readable)
    place = file_system_of(model.path, proc_pid.place(pid), own[0].device if own else None)
    copies = [
        buffer.size_bytes for buffer in buffers if buffer.role == "weights" and buffer.model == model.path
    ]
    return ModelMemory(
        path=model.path,
        deleted=any(m.deleted for m in own),
        size_bytes=size,
        mapped_bytes=sum(m.size_bytes for m in own),
        resident_bytes=sum(m.resident_bytes for m in own),
        pss_bytes=sum(m.pss_bytes for m in own),
        shared_bytes=sum(m.shared_clean_bytes + m.shared_dirty_bytes for m in own),
        locked_bytes=sum(m.locked_bytes for m in own),
        swap_bytes=sum(m.swap_bytes for m in own),
        droppable_bytes=0 if place is not None and place.in_memory else sum(map(_droppable, own)),
        cached_bytes=cached,
        cache_source=source,
        file_system=place,
        private_copy_bytes=sum(copies),
        parts=tuple(_part(m, model.header) for m in own),
        sharers=tuple(find_sharers(pid, own[0].device, own[0].inode)) if own else (),
    )


def _part(mapping: Mapping, header: ModelHeader | None) -> MappedPart:
    end = mapping.offset + mapping.size_bytes
    tensors = header.in_range(mapping.offset, end) if header else None
    return MappedPart(mapping.start, mapping.offset, mapping.size_bytes, mapping.resident_bytes, tensors)


def _cached(path: str) -> tuple[int | None, int | None, str]:
    """Return size, bytes in the page cache and who told."""
    # Imported here: it loads a compiled module, which only a process with a model needs.
    from llamactl.process.kernel import page_cache

    try:
        ask(path, read=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None, None, ""
    try:
        size = os.fstat(descriptor).st_size
        answer = page_cache(descriptor)
    finally:
        os.close(descriptor)
    return (size, min(answer.cached_bytes, size), answer.source) if answer else (size, None, "")
