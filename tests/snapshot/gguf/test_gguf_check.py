"""``check_model``: what a person is told, and models in several files."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from llamactl.errors import UsageError
from llamactl.snapshot.gguf import check, splits


def write_parts(folder: Path, count: int = 3) -> list[Path]:
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama", split_max_tensors=2)
    writer.add_block_count(1)
    for number in range(count * 2):
        writer.add_tensor(f"t{number}", np.zeros(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("*.gguf"))


def test_a_sound_split_model_passes(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    assert parts[0].name == "model-00001-of-00003.gguf"
    check.check_model(str(parts[0]))
    read = splits.read_all(str(parts[0]))
    assert [part.path for part in read] == [str(part) for part in parts]
    assert sum(len(part.tensors) for part in read) == 6


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    parts[1].unlink()
    with pytest.raises(UsageError, match=r"model-00002-of-00003\.gguf is missing"):
        check.check_model(str(parts[0]))


def test_a_swapped_part_is_named(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(UsageError, match=r"00002-of-00003\.gguf isn't part 2"):
        check.check_model(str(parts[0]))


def test_another_part_than_the_first_says_which_to_give(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    with pytest.raises(UsageError, match="part 2 of 3") as caught:
        check.check_model(str(parts[1]))
    assert str(parts[0]) in caught.value.hint


def test_a_damaged_part_is_named_with_its_offset(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    os.truncate(parts[2], 300)
    with pytest.raises(UsageError, match=r"00003-of-00003\.gguf isn't a sound .*, at byte 300") as caught:
        check.check_model(str(parts[0]))
    assert "incomplete" in caught.value.hint


def test_a_renamed_first_part_says_how_the_names_must_be(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    renamed = parts[0].rename(tmp_path / "first.gguf")
    with pytest.raises(UsageError, match="first of 3 parts"):
        check.check_model(str(renamed))


def test_a_wrong_total_of_tensors_is_a_fault(tmp_path: Path) -> None:
    parts = write_parts(tmp_path)
    raw = parts[0].read_bytes()
    key = b"split.tensors.count"
    place = raw.index(key) + len(key) + 4
    parts[0].write_bytes(raw[:place] + b"\x09" + raw[place + 1 :])
    with pytest.raises(UsageError, match=r"split\.tensors\.count is 9, but the 3 parts have 6"):
        check.check_model(str(parts[0]))


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused = {pipe: "regular file", tmp_path: "regular file", tmp_path / "no": "No such file"}
    for path, message in refused.items():
        with pytest.raises(UsageError, match=message):
            check.check_model(str(path))


def test_a_text_file_is_told_apart_from_a_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("x" * 100)
    with pytest.raises(UsageError, match="not a GGUF file") as caught:
        check.check_model(str(path))
    assert caught.value.hint == "Give a model in the GGUF format."
