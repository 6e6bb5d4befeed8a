"""A model as a person asks about it: what it is, how it is quantised, what of it is in memory."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from typing import Final

from llamactl.errors import UsageError
from llamactl.process import kernel, proc_pid
from llamactl.process.files.mounts import FileSystem, file_system_of
from llamactl.process.kernel import PageCache
from llamactl.snapshot.gguf import check, groups, splits, types, values
from llamactl.snapshot.gguf.groups import TensorGroup
from llamactl.snapshot.gguf.header import GgufFile, open_regular
from llamactl.snapshot.gguf.kind import kind_of
from llamactl.snapshot.gguf.source import Fault

SHOWN_ELEMENTS: Final = 16
"""Longest array of metadata whose elements are told; a vocabulary is only counted."""


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One file of the model.

    Attributes:
        path: As given, or beside the first.
        size_bytes: Of the file.
        version: Of the format; None if it isn't a GGUF file.
        n_tensors: In this file.
        data_offset: Where the weights begin; None after a fault in the header.
        cached_bytes: In the page cache; None where the kernel doesn't tell this user.
        cache_source: ``cachestat`` or ``mincore``.
        recently_evicted_bytes: Dropped from memory a short time ago; None if unknown.
        file_system: What it lies on; None where the kernel doesn't tell.
    """

    path: str
    size_bytes: int
    version: int | None
    n_tensors: int
    data_offset: int | None
    cached_bytes: int | None
    cache_source: str | None
    recently_evicted_bytes: int | None
    file_system: FileSystem | None


@dataclass(frozen=True, slots=True)
class MetadataValue:
    """One line of the metadata.

    Attributes:
        key: As stored.
        type_name: ``u32``, ``str`` and so on; of the elements for an array.
        count: Elements of an array, None for a single value.
        value: A number or text, a list for a short array, None for a long one.
    """

    key: str
    type_name: str
    count: int | None
    value: values.Value | None


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor, where it lies and what of it is in the page cache.

    Attributes:
        name: As stored.
        shape: Fastest dimension first.
        type_name: Such as ``Q4_K``.
        nbytes: In the file; None for an unknown type.
        file: Its file.
        file_offset: Where it begins there; None after a fault in the header.
        cached_bytes: In the page cache, in whole pages; None if unknown.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    nbytes: int | None
    file: str
    file_offset: int | None
    cached_bytes: int | None


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """How text becomes tokens.

    Attributes:
        model: Such as ``gpt2`` (BPE), ``llama`` (SentencePiece), ``bert``; None if not stated.
        pre: Name of the rule that splits text first; None if not stated.
        vocabulary: Number of tokens; None if not stored.
        merges: Number of merges of BPE; None if there are none.
        special: Token numbers by role, such as ``bos``.
    """

    model: str | None
    pre: str | None
    vocabulary: int | None
    merges: int | None
    special: dict[str, int]


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """All of it. What the file doesn't say is None.

    Attributes:
        parts: The files, one or several.
        fault: The first thing that is wrong with them; None if they are sound.
        kind: What it holds: ``model``, ``adapter``, ``control vector``, ``projector``, ``imatrix`` or
            ``vocabulary``.
        general_type: What the file says of that (``general.type``).
        architecture: Such as ``llama``.
        name: Of the model.
        licence: As stated in it.
        file_type: What the one who quantised it called it, such as ``Q4_K_M``.
        parameters: Number of weights; None if the list of tensors can't be read to its end.
        weight_bytes: Of all tensors; None if one has an unknown type or isn't in the list.
        context_length: It was trained with, in tokens.
        block_count: Layers.
        embedding_length: Width.
        head_count: Attention heads; a tuple where layers differ.
        head_count_kv: Heads of K and V.
        expert_count: Of a mixture of experts.
        tokenizer: How text becomes tokens.
        chat_template: The Jinja source, of a longer one the first MiB.
        chat_template_bytes: Its whole length.
        chat_templates: Names of further templates.
        groups: Tensors by part and type.
        metadata: Everything, in the order of the file.
        tensors: Those that were asked for.
    """

    parts: tuple[ModelPart, ...]
    fault: Fault | None
    kind: str
    general_type: str | None
    architecture: str | None
    name: str | None
    licence: str | None
    file_type: str | None
    parameters: int | None
    weight_bytes: int | None
    context_length: int | None
    block_count: int | None
    embedding_length: int | None
    head_count: int | tuple[int, ...] | None
    head_count_kv: int | tuple[int, ...] | None
    expert_count: int | None
    tokenizer: Tokenizer
    chat_template: str | None
    chat_template_bytes: int | None
    chat_templates: tuple[str, ...]
    groups: tuple[TensorGroup, ...]
    metadata: tuple[MetadataValue, ...]
    tensors: tuple[TensorInfo, ...]

    @property
    def chat_template_cut(self) -> bool:
        """Whether ``chat_template`` is only the beginning."""
        return (self.chat_template_bytes or 0) > values.MAX_TEXT_BYTES


def snapshot(path: str, tensor_pattern: str | None = None) -> ModelSnapshot:
    """Look at a model. No weights are read; a damaged file gives what could be read before the fault.

    Args:
        path: A GGUF file; of a split model the first part.
        tensor_pattern: Names of the tensors to list, as in a shell (``blk.0.*``, ``*attn*``); text
            without ``*?[`` is looked for anywhere in the name. None lists none.

    Raises:
        UsageError: It can't be opened, or a part is missing.
    """
    # Before anything is read, since reading the header brings it into the cache.
    caches = {name: _page_cache(name) for name in splits.files_of(path)}
    files = splits.read_all(path)
    first = files[0]
    tensors = [tensor for file in files for tensor in file.tensors]
    sizes = [tensor.nbytes for tensor in tensors]
    listed = all(file.data_offset is not None for file in files)
    architecture = _text(first, "general.architecture")
    return ModelSnapshot(
        parts=tuple(_part(file, caches.get(file.path)) for file in files),
        fault=next(filter(None, map(check.first_fault, files)), None) or check.count_fault(files),
        kind=kind_of(first).name,
        general_type=_text(first, "general.type"),
        architecture=architecture,
        name=_text(first, "general.name"),
        licence=_text(first, "general.license"),
        file_type=_file_type(first),
        parameters=sum(tensor.n_elements for tensor in tensors) if listed else None,
        weight_bytes=sum(size or 0 for size in sizes) if listed and None not in sizes else None,
        context_length=_number(first, f"{architecture}.context_length"),
        block_count=_number(first, f"{architecture}.block_count"),
        embedding_length=_number(first, f"{architecture}.embedding_length"),
        head_count=_heads(first, f"{architecture}.attention.head_count"),
        head_count_kv=_heads(first, f"{architecture}.attention.head_count_kv"),
        expert_count=_number(first, f"{architecture}.expert_count"),
        tokenizer=_tokenizer(first),
        chat_template=_text(first, "tokenizer.chat_template"),
        chat_template_bytes=_text_bytes(first, "tokenizer.chat_template"),
        chat_templates=tuple(_names(first, "tokenizer.chat_templates")),
        groups=groups.group(tensors),
        metadata=tuple(_metadata(first)),
        tensors=tuple(_tensors(files, tensor_pattern)) if tensor_pattern is not None else (),
    )


def _page_cache(path: str) -> PageCache | None:
    try:
        fd = open_regular(path)
    except UsageError:
        return None
    try:
        return kernel.page_cache(fd)
    finally:
        os.close(fd)


def _part(file: GgufFile, cache: PageCache | None) -> ModelPart:
    return ModelPart(
        path=file.path,
        size_bytes=file.size_bytes,
        version=file.version,
        n_tensors=len(file.tensors),
        data_offset=file.data_offset,
        cached_bytes=min(cache.cached_bytes, file.size_bytes) if cache else None,
        cache_source=cache.source if cache else None,
        recently_evicted_bytes=cache.recently_evicted_bytes if cache else None,
        file_system=file_system_of(os.path.realpath(file.path), proc_pid.place("self")),
    )


def _tensors(files: list[GgufFile], pattern: str) -> list[TensorInfo]:
    wanted = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    found = []
    for file in files:
        fd = open_regular(file.path)
        try:
            chosen = [each for each in file.tensors if fnmatch.fnmatchcase(each.name, wanted)]
            for tensor in chosen:
                place = None if file.data_offset is None else file.data_offset + tensor.offset
                cached = _cached(fd, place, tensor.nbytes, file.size_bytes)
                info = (tensor.name, tensor.shape, tensor.type_name, tensor.nbytes, file.path, place, cached)
                found.append(TensorInfo(*info))
        finally:
            os.close(fd)
    return found


def _cached(fd: int, offset: int | None, nbytes: int | None, file_size: int) -> int | None:
    if offset is None or nbytes is None or offset + nbytes > file_size:
        return None
    cache = kernel.page_cache(fd, offset, nbytes) if nbytes else None
    return cache.cached_bytes if cache else None


def _text_bytes(file: GgufFile, key: str) -> int | None:
    entry = file.metadata.get(key)
    return entry.nbytes if entry and entry.type_name == "str" and entry.count is None else None


def _text(file: GgufFile, key: str) -> str | None:
    if _text_bytes(file, key) is None:
        return None
    try:
        value = values.read(file, key)
    except UsageError:
        return None
    return value if isinstance(value, str) else None


def _number(file: GgufFile, key: str) -> int | None:
    value = file.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _heads(file: GgufFile, key: str) -> int | tuple[int, ...] | None:
    """Some architectures state them by layer."""
    entry = file.metadata.get(key)
    if entry is None or entry.count is None:
        return _number(file, key)
    found = values.read(file, key, limit=1024)
    if not isinstance(found, list):
        return None
    counts = tuple(each for each in found if isinstance(each, int))
    return counts[0] if len(set(counts)) == 1 else counts


def _names(file: GgufFile, key: str) -> list[str]:
    found = values.read(file, key, limit=64)
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _count(file: GgufFile, key: str) -> int | None:
    entry = file.metadata.get(key)
    return entry.count if entry else None


def _tokenizer(file: GgufFile) -> Tokenizer:
    prefix, suffix = "tokenizer.ggml.", "_token_id"
    roles = [key for key in file.metadata if key.startswith(prefix) and key.endswith(suffix)]
    numbers = {key[len(prefix) : -len(suffix)]: _number(file, key) for key in roles}
    return Tokenizer(
        model=_text(file, "tokenizer.ggml.model"),
        pre=_text(file, "tokenizer.ggml.pre"),
        vocabulary=_count(file, "tokenizer.ggml.tokens"),
        merges=_count(file, "tokenizer.ggml.merges"),
        special={role: number for role, number in numbers.items() if number is not None},
    )


def _file_type(file: GgufFile) -> str | None:
    number = _number(file, "general.file_type")
    return None if number is None else types.FILE_TYPES.get(number, f"type {number}")


def _metadata(file: GgufFile) -> list[MetadataValue]:
    found = []
    for key, entry in file.metadata.items():
        value: values.Value | None = entry.value
        if entry.count is not None and entry.count <= SHOWN_ELEMENTS:
            value = values.read(file, key, limit=SHOWN_ELEMENTS)
        found.append(MetadataValue(key, entry.type_name, entry.count, value))
    return found
