"""Whether a model file is what its header says: the first fault, before an engine stumbles over it."""

from __future__ import annotations

from llamactl.errors import UsageError
from llamactl.snapshot.gguf import header, splits, types
from llamactl.snapshot.gguf.header import GgufFile, Tensor
from llamactl.snapshot.gguf.kind import MODEL, kind_of
from llamactl.snapshot.gguf.source import Fault, shown

_INT64_MAX = (1 << 63) - 1


def check(path: str) -> Fault | None:
    """Return the first fault of one GGUF file, None when there is none. No weights are read.

    Raises:
        UsageError: The path isn't a file that can be opened for reading.
    """
    return first_fault(header.read(path))


def check_model(path: str) -> None:
    """Check a model, all its files when it is split, before the engine loads it.

    Raises:
        UsageError: A file is missing, damaged or no model; the message names it, the fault and the byte offset.
    """
    parts = splits.read_all(path)
    for part in parts:
        fault = first_fault(part) or count_fault(parts)
        if fault is not None:
            raise refusal(fault, part.version, part.size_bytes)
    kind = kind_of(parts[0])
    if kind.name != MODEL:
        raise UsageError(f"{path} isn't a model but {kind.what}", kind.use)


def refusal(fault: Fault, version: int | None, size_bytes: int) -> UsageError:
    """Return a fault as an error with a remedy.

    Args:
        fault: What is wrong.
        version: Of the format, in the file with the fault; None if it isn't GGUF.
        size_bytes: Of that file.
    """
    message = f"{fault.path} isn't a sound GGUF file: {fault.message}, at byte {fault.offset:,}"
    if fault.remedy and fault.offset == 0:
        message = f"{fault.path} is {fault.message}"
    return UsageError(message, fault.remedy or _remedy(fault, version, size_bytes))


def first_fault(file: GgufFile) -> Fault | None:
    """Return the fault of the header, else the first tensor that doesn't fit the file.

    As the engine demands: known types, whole blocks in a row, each tensor right behind the one before
    (rounded up to the alignment), the last one inside the file.
    """
    if file.fault is not None or file.data_offset is None:
        return file.fault
    seen: set[str] = set()
    expected = 0
    for tensor in file.tensors:
        message = _duplicate(tensor, seen) or _shape_fault(tensor)
        message = message or _offset_fault(tensor, expected, file.alignment)
        if message:
            return Fault(file.path, tensor.info_offset, f"tensor {shown(tensor.name)} {message}")
        nbytes = tensor.nbytes or 0
        end = file.data_offset + tensor.offset + nbytes
        if end > file.size_bytes:
            return Fault(
                file.path, file.size_bytes,
                f"the file ends {end - file.size_bytes:,} bytes before the end of tensor {shown(tensor.name)}",
            )  # fmt: skip
        expected = -(-(tensor.offset + nbytes) // file.alignment) * file.alignment
    return None


def count_fault(parts: list[GgufFile]) -> Fault | None:
    """Return the fault of a split model whose parts hold another number of tensors than the first says."""
    announced = parts[0].metadata.get("split.tensors.count")
    total = sum(len(each.tensors) for each in parts)
    if announced is None or announced.value == total or any(each.fault for each in parts):
        return None
    message = f"split.tensors.count is {announced.value}, but the {len(parts)} parts have {total} tensors"
    return Fault(parts[0].path, announced.offset, message)


def _duplicate(tensor: Tensor, seen: set[str]) -> str:
    if tensor.name in seen:
        return "is there a second time"
    seen.add(tensor.name)
    return ""


def _shape_fault(tensor: Tensor) -> str:
    known = types.TENSOR_TYPES.get(tensor.type_number)
    if known is None:
        if tensor.type_number in types.REMOVED_TENSOR_TYPES:
            return f"is of {tensor.type_name}, which the engine no longer reads"
        return f"is of {tensor.type_name}, which is unknown"
    product = 1
    for size in tensor.shape:
        product *= max(size, 1)
        if size > _INT64_MAX or product > _INT64_MAX:
            return f"has a shape of {' x '.join(map(str, tensor.shape))}, more than can be counted"
    row = tensor.shape[0] if tensor.shape else 1
    if row % known.block:
        return f"has rows of {row:,} elements, not a multiple of the {known.block} in a block of {known.name}"
    return ""


def _offset_fault(tensor: Tensor, expected: int, alignment: int) -> str:
    if tensor.offset == expected:
        return ""
    if tensor.offset % alignment:
        return f"begins at {tensor.offset:,} of the data, not a multiple of the alignment {alignment}"
    relation = "overlaps the one before" if tensor.offset < expected else "leaves a gap behind the one before"
    return f"begins at {tensor.offset:,} of the data where {expected:,} is expected: it {relation}"


def _remedy(fault: Fault, version: int | None, size_bytes: int) -> str:
    if version is None and fault.offset == 0:
        return "Give a model in the GGUF format."
    if fault.offset == size_bytes:
        return "The file is incomplete: download it again."
    return "Download it again, or compare its checksum with the publisher's."
