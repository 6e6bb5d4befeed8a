"""What replaces a model's own values while it loads: metadata, devices, where tensors go. As text and as C arrays."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from llamactl.engine import library
from llamactl.engine.native import ffi, lib, text
from llamactl.errors import UsageError

Value: TypeAlias = bool | int | float | str
MAX_TEXT = 127
"""Bytes of a key or a text (``llama_model_kv_override``)."""
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""Weights of a mixture's experts (``LLM_FFN_EXPS_REGEX`` of ``common/common.h``)."""
DENSE = r"\.ffn_(up|down|gate)\."
"""Weights of other feed-forward layers (``LLM_FFN_DENSE_REGEX``)."""


def parse_metadata(row: str) -> tuple[tuple[str, Value], ...]:
    """Read ``KEY=TYPE:VALUE,…``; a value with a comma stands in quotes (``string_parse_kv_override``).

    Raises:
        UsageError: It isn't of that form.
    """
    return tuple(_metadatum(item) for item in words(row))


def _metadatum(item: str) -> tuple[str, Value]:
    match = re.fullmatch(r"([^=]+)=(int|float|bool|str):(.*)", item, re.DOTALL)
    if not match:
        raise UsageError(
            f"--override-kv {item!r} isn't KEY=TYPE:VALUE", "Types are int, float, bool and str."
        )
    key, kind, value = match.groups()
    if max(len(key.encode()), len(value.encode())) > MAX_TEXT:
        raise UsageError(
            f"--override-kv {key[:40]!r} is too long", f"A key and a text have {MAX_TEXT} bytes at most."
        )
    try:
        return key, READERS[kind](value)
    except ValueError:
        raise UsageError(
            f"--override-kv {item!r}: {value!r} isn't of type {kind}", "Such as int:2 or bool:true."
        ) from None


def _bool(word: str) -> bool:
    if word not in {"true", "false"}:
        raise ValueError(word)
    return word == "true"


def parse_tensors(row: str) -> tuple[tuple[str, str], ...]:
    """Read ``PATTERN=BUFFER_TYPE,…``.

    Raises:
        UsageError: It isn't of that form, the pattern isn't one, or no device has such buffers.
    """
    known = buffer_types()
    found = []
    for item in row.split(","):
        pattern, equals, name = item.partition("=")
        if not equals or not pattern:
            raise UsageError(f"-ot {item!r} isn't PATTERN=BUFFER_TYPE", "Such as exps=CPU.")
        if name not in known:
            raise UsageError(
                f"-ot {item!r}: no device has buffers {name!r}", f"There are: {', '.join(known)}."
            )
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"-ot {pattern!r} isn't a regular expression: {error}", "Such as blk.*exps."
            ) from None
        found.append((pattern, name))
    return tuple(found)


def on_cpu(pattern: str, layers: int | None = None) -> tuple[tuple[str, str], ...]:
    """Return what keeps weights on the CPU: of the first ``layers``, or of all."""
    name = text(lib.ggml_backend_buft_name(lib.ggml_backend_cpu_buffer_type()))
    if layers is None:
        return ((pattern, name),)
    return tuple((rf"blk\.{layer}{pattern}", name) for layer in range(layers))


READERS: dict[str, Callable[[str], Value]] = {"int": int, "float": float, "bool": _bool, "str": str}


def words(row: str) -> list[str]:
    """Return what stands between commas; quotes hold one together (``parse_csv_row`` of ``common/arg.cpp``)."""
    return next(csv.reader([row], skipinitialspace=False), [])


def buffer_types() -> dict[str, Any]:
    """Return each device's buffer type by its name."""
    library.start()
    found = {}
    for index in range(lib.ggml_backend_dev_count()):
        kind = lib.ggml_backend_dev_buffer_type(lib.ggml_backend_dev_get(index))
        if kind != ffi.NULL:
            found[text(lib.ggml_backend_buft_name(kind))] = kind
    return found


def metadata(pairs: Sequence[tuple[str, Value]], keep: list[Any]) -> Any:
    """Return the C array of metadata to replace; its end is an empty key."""
    if not pairs:
        return ffi.NULL
    array = ffi.new("struct llama_model_kv_override[]", len(pairs) + 1)
    for row, (key, value) in zip(array, pairs, strict=False):
        row.key = key.encode()
        if isinstance(value, bool):
            row.tag, row.val_bool = lib.LLAMA_KV_OVERRIDE_TYPE_BOOL, value
        elif isinstance(value, int):
            row.tag, row.val_i64 = lib.LLAMA_KV_OVERRIDE_TYPE_INT, value
        elif isinstance(value, float):
            row.tag, row.val_f64 = lib.LLAMA_KV_OVERRIDE_TYPE_FLOAT, value
        else:
            row.tag, row.val_str = lib.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()
    keep.append(array)
    return array


def tensors(pairs: Sequence[tuple[str, str]], keep: list[Any]) -> Any:
    """Return the C array of where tensors go; its end is a null pointer."""
    if not pairs:
        return ffi.NULL
    known = {**buffer_types(), text(lib.ggml_backend_buft_name(lib.ggml_backend_cpu_buffer_type())): None}
    array = ffi.new("struct llama_model_tensor_buft_override[]", len(pairs) + 1)
    for row, (pattern, name) in zip(array, pairs, strict=False):
        if name not in known:
            raise UsageError(f"no device has buffers {name!r}", f"There are: {', '.join(known)}.")
        keep.append(ffi.new("char[]", pattern.encode()))
        row.pattern, row.buft = keep[-1], known[name] or lib.ggml_backend_cpu_buffer_type()
    keep.append(array)
    return array


def tensor_split(shares: Sequence[float], keep: list[Any]) -> Any:
    """Return the C array of the devices' shares, as many as there may be devices."""
    room = int(lib.llama_max_devices())
    if len(shares) >= room and shares:
        raise UsageError(
            f"{len(shares)} shares, where at most {room - 1} devices are", "Give one for each device."
        )
    if not all(share >= 0 for share in shares):
        raise UsageError(f"the shares {shares} aren't all numbers from 0 on", "Such as 3,1.")
    array = ffi.new("float[]", room)
    array[0 : len(shares)] = list(shares)
    keep.append(array)
    return array


def devices(names: Sequence[str] | None, keep: list[Any]) -> Any:
    """Return the C array of devices to offload to; its end is a null pointer.

    Raises:
        UsageError: There is no device of a name, or it is the CPU.
    """
    if names is None:
        return ffi.NULL
    known = {device.name: device for device in library.devices() if device.type != "cpu"}
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none but the CPU"
            raise UsageError(
                f"-dev {name!r}: no such device to offload to", f"There are: {there}; none offloads nothing."
            )
    array = ffi.new(
        "ggml_backend_dev_t[]", [*(lib.ggml_backend_dev_by_name(name.encode()) for name in names), ffi.NULL]
    )
    keep.append(array)
    return array
