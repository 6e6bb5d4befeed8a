"""Is the model in memory: residency, page cache, and sharing between two processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llamactl.process.memory.smaps import MEASURES, Smaps
from llamactl.snapshot.process.buffers import ModelSize, find_buffers
from llamactl.snapshot.process.memory import ModelMemory
from llamactl.snapshot.process.snapshot import inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
SIZE = 3 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(SIZE - 4))
    return path


def model_memory(pid: int) -> ModelMemory:
    memory = inspect_process(pid, ("memory",)).memory
    assert memory is not None
    (found,) = memory.models
    return found


def test_a_touched_model_is_resident_cached_and_can_be_dropped(start: Start, model: Path) -> None:
    found = model_memory(start("map_model.py", str(model)).pid)
    assert found.path == str(model)
    assert found.size_bytes == found.mapped_bytes == found.resident_bytes == found.cached_bytes == SIZE
    assert found.cache_source in ("cachestat", "mincore")
    # Just written, so perhaps still dirty in the page cache; mapped, the pages are clean for the process.
    assert found.droppable_bytes <= SIZE
    assert found.shared_bytes == 0 and found.sharers == ()


def test_two_processes_on_one_model_share_all_of_it(start: Start, model: Path) -> None:
    first, second = start("map_model.py", str(model)), start("map_model.py", str(model))
    found = model_memory(first.pid)
    assert found.shared_bytes == SIZE
    assert found.pss_bytes == SIZE // 2
    assert [(other.pid, other.resident_bytes) for other in found.sharers] == [(second.pid, SIZE)]


def test_a_deleted_model_is_told(start: Start, model: Path) -> None:
    target = start("map_model.py", str(model))
    model.unlink()
    memory = inspect_process(target.pid, ("memory", "mappings"))
    mapping = next(m for m in memory.mappings or () if m.path == str(model))
    assert mapping.deleted
    if mapping.role == "weights":  # only root may read it through map_files
        assert memory.memory is not None and memory.memory.models[0].deleted


class FakeMemory:
    """Memory with allocator headers at some addresses."""

    def __init__(self, words: dict[int, tuple[int, ...]]) -> None:
        self._words = words

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return self._words.get(address, (0,) * count)


def maps_of(size: int) -> Smaps:
    zeros = {name: [0] for name in MEASURES}
    return Smaps([0x10000], [0x10000 + size], ["rw-p"], [0], ["00:00"], [0], [""], zeros, [0])


def test_merged_buffers_are_parted_and_a_cache_is_told_by_its_size() -> None:
    model = ModelSize("m.gguf", 50_000_000, 10, cache_elements=11520)
    cache = 11520 * 2 * 4096 + 4096
    weights = -(-(50_000_000 + 200) // 4096) * 4096
    other = 5 << 20
    at = 0x10000
    headers = {}
    for size in (cache, other, weights):
        headers[at] = (0, size | 2)
        at += size
    maps = maps_of(at - 0x10000)
    found = find_buffers(FakeMemory(headers), maps, [0], [model])  # type: ignore[arg-type]
    assert [(buffer.size_bytes, buffer.role) for buffer in found] == [
        (cache, "kv"), (other, "unknown"), (weights, "weights"),
    ]  # fmt: skip
    assert "4096 tokens in f16" in found[0].evidence


def test_memory_without_headers_has_no_buffers() -> None:
    assert find_buffers(FakeMemory({}), maps_of(64 << 20), [0], []) == []  # type: ignore[arg-type]
