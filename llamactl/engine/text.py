"""Bytes of tokens into text: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Assembles pieces of tokens into text that may be shown.

    A character spread over several tokens comes out once it is whole. What could become a stop string is
    held back until it is clear.

    Args:
        stops: Strings that end the text; they are not part of it.

    Attributes:
        stopped_by: The stop string that was met, if one was.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._unfinished = False
        self._held = ""
        self.stopped_by: str | None = None

    def add(self, piece: bytes) -> str:
        """Take the bytes of one token and return the text that is certain now."""
        # A decoder's state is (bytes of an unfinished character, flags): mostly there are none.
        if piece.isascii() and not self._unfinished:
            text = piece.decode("ascii")
        else:
            text = self._decoder.decode(piece)
            self._unfinished = bool(self._decoder.getstate()[0])
        return self._release(text) if self._stops else text

    def finish(self) -> str:
        """Return what was held back; bytes of an unfinished character become U+FFFD."""
        text = self._decoder.decode(b"", final=True)
        if self.stopped_by is not None:
            return ""
        held, self._held = self._held + text, ""
        return held

    def _release(self, text: str) -> str:
        if self.stopped_by is not None:
            return ""
        held = self._held + text
        found = [(held.find(stop), stop) for stop in self._stops if stop in held]
        if found:
            position, self.stopped_by = min(found)
            self._held = ""
            return held[:position]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that begins ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
