"""What a file is that somebody took for GGUF, by its first bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Other:
    """A file that isn't GGUF.

    Attributes:
        what: What it is.
        remedy: What to do, as a sentence.
    """

    what: str
    remedy: str


_DOWNLOAD: Final = (
    "Download the file itself: on Hugging Face its address has /resolve/ where the page has /blob/."
)
_CONVERT: Final = "Convert it with llama.cpp's convert_hf_to_gguf.py."
_OTHERS: Final = (
    (
        rb"version https://git-lfs\.github\.com/",
        Other(
            "a pointer of Git LFS, which stands for the file",
            "Run git lfs pull, or download the file itself.",
        ),
    ),
    (rb"\s*(<!DOCTYPE|<html|<\?xml|<head|<script|<!--)", Other("a web page", _DOWNLOAD)),
    (rb"\s*[{\[]\s*\"", Other("a JSON text, such as a server's error", _DOWNLOAD)),
    (
        rb"(Entry not found|Not Found|Invalid username|Access to model|Repository not)",
        Other("a server's error", _DOWNLOAD),
    ),
    (rb".{3}[\0-\x0f]\0{4}\{", Other("a safetensors file", _CONVERT)),
    (rb"PK\x03\x04", Other("a ZIP archive or PyTorch's weights", _CONVERT)),
    (
        rb"(lmgg|fmgg|tjgg|algg)",
        Other("an old format of llama.cpp, from before GGUF", "Convert it again from the original weights."),
    ),
    (
        rb"(\x1f\x8b|\x28\xb5\x2f\xfd|BZh|\xfd7zXZ|7z\xbc\xaf)",
        Other("a compressed file", "Unpack it first."),
    ),
    (rb"\0+$", Other("only zeros, as a download leaves that reserved the space", "Download it again.")),
)


def other_format(head: bytes) -> Other | None:
    """Return what a file is that doesn't begin as GGUF, by its first bytes; None if that isn't known."""
    return next(
        (other for pattern, other in _OTHERS if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), None
    )
