"""Watch the first and the last float of the logits: who reads them?

The processor's debug registers tell which instruction touched an address, so which library: ``_ctypes``,
numpy, libc, llama.cpp. The first row is watched from the moment its address is known, which is after the
first call of ``llama_get_logits``; the address stays the same as long as the context does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.boundary.maps import ProcessMaps
from llamactl.trace.boundary.targets import is_engine
from llamactl.trace.capture.record import Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from llamactl.trace.agent.functions import Function


class Watcher(Protocol):
    """What can watch addresses: perf rings, or the recorder by ptrace."""

    @property
    def pid(self) -> int:
        """The program."""

    def watch(self, which: int, address: int) -> None:
        """Begin to watch the float at ``address``. Raises LlamactlError when that is refused."""

    def move(self, which: int, address: int) -> None:
        """Watch another address instead. Raises LlamactlError when that is refused."""


LOGITS = ("llama_get_logits", "llama_get_logits_ith")
VOCABULARY = ("llama_vocab_n_tokens", "llama_n_vocab")
FLOAT_BYTES = 4
FIRST, LAST = 0, 1
STACK_WORDS = slice(2, 6)
MAPS_READ_AT_MOST = 50


class Watch:
    """The watched floats of one program.

    Args:
        rings: Where the kernel reports to.
        vocabulary: How many floats a row has; None to learn it when the program asks llama.cpp.
    """

    def __init__(self, rings: Watcher, vocabulary: int | None = None) -> None:
        self._rings = rings
        self._vocabulary = vocabulary
        self._address = 0
        self._watched: dict[int, int] = {}
        self._since_ns: int | None = None
        self._moves = 0
        self._refused = ""
        self._maps = ProcessMaps(rings.pid)
        self._reads = 0
        self._names: dict[int, str | None] = {}
        self._references: dict[str, int] = {}

    def follow(self, calls: NDArray[np.void], functions: Sequence[Function]) -> None:
        """Learn from calls (CALL records) where the logits are, and watch them there."""
        for nr in np.unique(calls["nr"]).tolist():
            name = functions[nr].name
            ended = calls[(calls["nr"] == nr) & ((calls["flags"] & int(Flag.NO_EXIT)) == 0)]
            if name in VOCABULARY and len(ended) and ended["ret"][-1] > 0:
                self._vocabulary = int(ended["ret"][-1])
            elif name in LOGITS and len(ended) and ended["ret"][-1]:
                last = ended[-1]
                self._arm(int(last["ret"]), int(last["start"] + last["duration"]))
        if self._address and self._vocabulary and LAST not in self._watched:
            self._set(LAST, self._address + FLOAT_BYTES * (self._vocabulary - 1))

    @staticmethod
    def without_own(records: NDArray[np.void], functions: Sequence[Function]) -> NDArray[np.void]:
        """Return the records without llama.cpp's own calls for its logits, which only told the address."""
        own = [
            nr
            for nr, function in enumerate(functions)
            if function.name in LOGITS and is_engine(function.caller) and is_engine(function.library)
        ]
        kept: NDArray[np.void] = records[(records["kind"] != Kind.CALL) | ~np.isin(records["nr"], own)]
        return kept

    def watch_at(self, address: int, now_ns: int) -> None:
        """Watch a row whose address is known otherwise."""
        self._arm(address, now_ns)

    def _arm(self, address: int, now_ns: int) -> None:
        if address == self._address:
            return
        self._address = address
        self._set(FIRST, address)
        if self._vocabulary:
            self._set(LAST, address + FLOAT_BYTES * (self._vocabulary - 1))
        if self._since_ns is None:
            self._since_ns = now_ns

    def _set(self, which: int, address: int) -> None:
        if self._refused:
            return
        try:
            if which in self._watched:
                self._rings.move(which, address)
                self._moves += 1
            else:
                self._rings.watch(which, address)
            self._watched[which] = address
        except LlamactlError as error:
            self._refused = str(error)

    def resolve(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> None:
        """Give WATCH records the libraries that read, in place: ``text`` and, for a leaf, who called it."""
        for row in np.flatnonzero(records["kind"] == Kind.WATCH).tolist():
            record = records[row]
            reader = self._library(int(record["args"][1]))
            called = next((w for w in record["args"][STACK_WORDS].tolist() if self._library(w)), 0)
            caller = self._library(called)
            record["args"][STACK_WORDS] = 0
            record["args"][2] = called
            record["text"] = self._reference(reader, add)
            record["text2"] = self._reference(caller, add)

    def _reference(self, path: str | None, add: Callable[[bytes], int]) -> int:
        if path is None:
            return 0
        if path not in self._references:
            self._references[path] = add(path.encode("utf-8", "surrogateescape"))
        return self._references[path]

    def _library(self, address: int) -> str | None:
        if address not in self._names:
            self._names[address] = self._look_up(address)
        return self._names[address]

    def _look_up(self, address: int) -> str | None:
        if address < 4096:
            return None
        piece = self._maps.find(address)
        if piece is None and self._reads < MAPS_READ_AT_MOST:
            self._reads += 1
            try:
                self._maps = ProcessMaps(self._rings.pid)
            except LlamactlError:
                return None
            piece = self._maps.find(address)
        return piece.path if piece is not None and piece.executable else None

    def metadata(self) -> dict[str, Any]:
        """Return what was watched: for the analysis of buffers."""
        return {
            "buffer": "logits",
            "address": self._address or None,
            "floats": self._vocabulary,
            "since_ns": self._since_ns,
            "last_watched": LAST in self._watched,
            "moved": self._moves,
            "refused": self._refused or None,
        }
