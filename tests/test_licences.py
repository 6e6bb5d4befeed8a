"""What is compiled in comes with its licence, in every installation."""

from __future__ import annotations

from importlib.metadata import files

import pytest

from llamactl.engine.library import directory


@pytest.mark.parametrize(
    "name, holder",
    [
        ("LICENSE-llama.cpp-ggml", "The ggml authors"),
        ("LICENSE-llamafile-sgemm", "Mozilla Foundation"),
        ("LICENSE-nlohmann-json", "Niels Lohmann"),
    ],
)
def test_the_engines_licences_are_installed(name: str, holder: str) -> None:
    text = (directory() / "licenses" / name).read_text(encoding="utf-8")
    assert holder in text
    assert "Permission is hereby granted" in text
    assert "THE SOFTWARE IS PROVIDED" in text
    assert not text.startswith("//")


def test_ours_and_theirs_are_in_the_record() -> None:
    names = [str(path) for path in files("llamactl") or ()]
    assert sum("licenses/LICENSE" in name for name in names) >= 3
