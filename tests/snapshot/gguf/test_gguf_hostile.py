"""Damaged and hostile files: a fault in bounded time and memory, never a crash."""

from __future__ import annotations

import os
import random
import resource
import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import pytest

from llamactl.snapshot.gguf import check, header, model
from llamactl.snapshot.gguf.source import Fault

pytest_plugins = ["gguf_models"]

MAX_SECONDS = 1.0
MAX_BYTES = 64 * 1024 * 1024
HEADER = struct.Struct("<4sIQQ")


def bounded_check(path: Path) -> Fault | None:
    """Check a file and see that it took neither time nor memory; tracing memory takes time of its own."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    fault = check.check(str(path))
    assert time.process_time() - begin < MAX_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) * 1024 < MAX_BYTES
    return fault


def peak_bytes(path: Path) -> int:
    """Return the most memory that Python held while it checked a file."""
    tracemalloc.start()
    try:
        check.check(str(path))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_flipped_bytes_never_crash(llama_model: Path, tmp_path: Path) -> None:
    raw = llama_model.read_bytes()
    end = header.read(str(llama_model)).data_offset
    assert end is not None
    dice = random.Random(3)
    # Half of them where the structure is densest: the first metadata, and the tensors at the end.
    dense = [*range(24, 400), *range(end - 700, end)]
    places = [dice.choice(dense) for _ in range(100)] + [dice.randrange(end) for _ in range(100)]
    victim = tmp_path / "flipped.gguf"
    faults = 0
    for place in places:
        damaged = bytearray(raw)
        damaged[place] ^= 1 << dice.randrange(8)
        victim.write_bytes(damaged)
        fault = bounded_check(victim)
        faults += fault is not None
        assert fault is None or 0 <= fault.offset <= len(raw)
    assert faults > 50


def test_a_truncated_file_is_always_a_fault(llama_model: Path, tmp_path: Path) -> None:
    raw = llama_model.read_bytes()
    end = header.read(str(llama_model)).data_offset
    assert end is not None
    victim = tmp_path / "cut.gguf"
    edges = (0, 3, 4, 8, 16, 23, 24, 25, end - 1, end, end + 1, len(raw) - 64)
    for length in (*edges, *range(30, end, end // 10)):
        victim.write_bytes(raw[:length])
        fault = bounded_check(victim)
        assert fault is not None
        assert fault.offset <= length


def test_a_file_cut_in_its_weights_names_the_tensor(llama_model: Path, tmp_path: Path) -> None:
    raw = llama_model.read_bytes()
    victim = tmp_path / "cut.gguf"
    victim.write_bytes(raw[: len(raw) - 1000])
    fault = bounded_check(victim)
    assert fault is not None
    assert fault.offset == len(raw) - 1000
    assert "before the end of tensor 'output_norm.weight'" in fault.message


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def file_with(path: Path, body: bytes, n_tensors: int = 0, n_entries: int = 1, size: int = 0) -> Path:
    """Write a header and grow the file, as a hole, to ``size`` bytes."""
    path.write_bytes(HEADER.pack(b"GGUF", 3, n_tensors, n_entries) + body)
    if size:
        os.truncate(path, size)
    return path


HUGE = 1 << 62
GIB = 1 << 30
HOSTILE: dict[str, tuple[bytes, dict[str, int]]] = {
    "entries beyond counting": (b"", {"n_entries": HUGE}),
    "tensors beyond counting": (b"", {"n_entries": 0, "n_tensors": HUGE}),
    "a negative number of tensors": (b"", {"n_entries": 0, "n_tensors": (1 << 64) - 1}),
    "a key longer than the file": (struct.pack("<Q", HUGE) + b"x", {}),
    "a string longer than the file": (text(b"k") + struct.pack("<IQ", 8, GIB), {}),
    "a huge string that the file does hold": (text(b"k") + struct.pack("<IQ", 8, 1 << 37), {"size": 1 << 38}),
    "an array longer than the file": (text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 29), {}),
    "an array whose bytes overflow": (text(b"k") + struct.pack("<IIQ", 9, 10, HUGE), {}),
    "an array of arrays": (text(b"k") + struct.pack("<IIQ", 9, 9, 1), {}),
    "a type that isn't": (text(b"k") + struct.pack("<I", 4711), {}),
    "a billion strings in a hole": (text(b"k") + struct.pack("<IIQ", 9, 8, GIB), {"size": 16 * GIB}),
    "many keys in a hole": (b"", {"n_entries": 65_536, "size": GIB}),
    "an empty key": (text(b"") + struct.pack("<IB", 0, 0), {}),
    "a key twice": ((text(b"k") + struct.pack("<IB", 0, 0)) * 2, {"n_entries": 2}),
    "an alignment of three": (text(b"general.alignment") + struct.pack("<II", 4, 3), {}),
    "an alignment of nothing": (text(b"general.alignment") + struct.pack("<II", 4, 0), {}),
    "an alignment that is a string": (text(b"general.alignment") + struct.pack("<I", 8) + text(b"x"), {}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused(name: str, tmp_path: Path) -> None:
    body, options = HOSTILE[name]
    fault = bounded_check(file_with(tmp_path / "hostile.gguf", body, **options))
    assert fault is not None
    assert fault.message
    assert peak_bytes(tmp_path / "hostile.gguf") < MAX_BYTES


def test_a_long_list_of_strings_takes_bounded_time(tmp_path: Path) -> None:
    path = file_with(tmp_path / "long.gguf", text(b"k") + struct.pack("<IIQ", 9, 8, 16_000_000), size=GIB)
    fault = bounded_check(path)
    assert fault is None


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


TENSORS: dict[str, tuple[list[bytes], str]] = {
    "overlap": ([tensor(b"a", (32,), 0, 0), tensor(b"b", (32,), 0, 64)], "overlaps the one before"),
    "gap": ([tensor(b"a", (32,), 0, 0), tensor(b"b", (32,), 0, 256)], "leaves a gap"),
    "misaligned": ([tensor(b"a", (32,), 0, 0), tensor(b"b", (32,), 0, 131)], "the alignment 32"),
    "twice": ([tensor(b"a", (32,), 0, 0), tensor(b"a", (32,), 0, 128)], "second time"),
    "unknown type": ([tensor(b"a", (32,), 99, 0)], "unknown"),
    "removed type": ([tensor(b"a", (32,), 31, 0)], "no longer reads"),
    "half a block": ([tensor(b"a", (33,), 2, 0)], "not a multiple of the 32"),
    "product overflows": ([tensor(b"a", (1 << 40, 1 << 40), 0, 0)], "more than can be counted"),
    "negative dimension": ([tensor(b"a", ((1 << 64) - 32,), 0, 0)], "more than can be counted"),
    "five dimensions": ([tensor(b"a", (1, 1, 1, 1, 1), 0, 0)], "5 dimensions"),
    "long name": ([tensor(b"n" * 64, (32,), 0, 0)], "at most 63"),
    "past the end": ([tensor(b"a", (1 << 30,), 0, 0)], "before the end of tensor 'a'"),
    "offset past the end": ([tensor(b"a", (32,), 0, HUGE)], "leaves a gap"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_fit_are_named(name: str, tmp_path: Path) -> None:
    infos, message = TENSORS[name]
    body = b"".join(infos)
    path = file_with(tmp_path / "tensors.gguf", body, len(infos), 0, size=4096)
    fault = bounded_check(path)
    assert fault is not None
    assert message in fault.message
    assert fault.offset in {24, 24 + len(infos[0]), 4096} or name == "five dimensions"


def test_as_many_tensors_as_are_read_stay_within_bounds(tmp_path: Path) -> None:
    infos = b"".join(tensor(b"t%d" % number, (32,), 0, 128 * number) for number in range(header.MAX_ENTRIES))
    path = file_with(tmp_path / "many.gguf", infos, header.MAX_ENTRIES, 0, size=GIB)
    assert bounded_check(path) is None
    assert peak_bytes(path) < MAX_BYTES


@pytest.mark.parametrize(
    ("version", "message"),
    [(1, "version 1"), (4, "version 4"), (0, "version 0"), (3 << 24, "big-endian")],
)
def test_versions_the_engine_does_not_read(version: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "version.gguf"
    path.write_bytes(HEADER.pack(b"GGUF", version, 0, 0))
    fault = check.check(str(path))
    assert fault is not None
    assert (fault.offset, message in fault.message) == (4, True)


def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("x" * 100)
    fault = check.check(str(path))
    assert fault == Fault(str(path), 0, "not a GGUF file: it begins with b'xxxx', not b'GGUF'")


def test_what_is_sound_before_the_fault_is_kept(llama_model: Path, tmp_path: Path) -> None:
    raw = llama_model.read_bytes()
    victim = tmp_path / "cut.gguf"
    victim.write_bytes(raw[:2000])
    damaged = header.read(str(victim))
    assert damaged.fault is not None
    assert damaged.get("general.architecture") == "llama"
    assert gguf.GGUFReader(llama_model).fields["general.license"].contents() == damaged.get("general.license")


def test_thousands_of_short_arrays_of_strings_are_read(tmp_path: Path) -> None:
    """2,049 of them, in a file of 2.3 MB, were refused as "larger than 268,435,456 bytes"."""
    strings = b"".join(text(b"x" * 100) for _ in range(10))
    body = b"".join(
        text(f"key.{number}".encode()) + struct.pack("<IIQ", 9, 8, 10) + strings for number in range(2100)
    )
    path = file_with(tmp_path / "many.gguf", body, n_entries=2100)
    assert bounded_check(path) is None
    assert len(header.read(str(path)).metadata) == 2100


def test_a_text_of_64_mib_is_cut_and_its_length_told(tmp_path: Path) -> None:
    size = 64 * 2**20
    body = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    body += text(b"tokenizer.chat_template") + struct.pack("<IQ", 8, size) + b"\xff" * size
    found = model.snapshot(str(file_with(tmp_path / "long.gguf", body, n_entries=2)))
    assert found.chat_template_bytes == size
    assert found.chat_template == r"\xff" * 2**20
