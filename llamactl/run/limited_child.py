"""A child with limits on time and memory, for code that a file brings, such as a chat template.

A thread can't be stopped inside one instruction that takes hours or gigabytes (``'a' * 4000000000``); a
process can.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import BinaryIO, NoReturn

from llamactl.engine import guard
from llamactl.errors import UsageError
from llamactl.process import proc_pid

NO_MEMORY = 86
"""The status of a child whose C++ got no memory (``llamactl_end_without_memory``)."""
LOOK_EVERY_S = 0.5
"""How late Ctrl-C may be noticed."""
_READ = 1 << 16
_LENGTH = struct.Struct("<Q")
_DONE, _REFUSED, _RAISED = b"d", b"u", b"e"
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class LimitError(Exception):
    """A limit was reached, the child died or its code raised; the reason as text."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take.

    Attributes:
        seconds: Wall time.
        more_bytes: Address space beyond what this process has when it forks (setrlimit(2)).
        answer_bytes: Length of the answer.
    """

    seconds: float
    more_bytes: int
    answer_bytes: int


class LimitedChild:
    """A forked process that answers requests, one at a time. Use it as a context manager.

    It ends with this process, however that ends: its pipe closes. Fork it early, while this process is small.

    Args:
        serve: Makes an answer from a request, in the child.
        prepare: Runs in the child before the first request; imports belong there.
    """

    def __init__(self, serve: Callable[[bytes], bytes], prepare: Callable[[], object]) -> None:
        self._pid = 0
        self._idle = False
        self._failure = ""
        requests, self._writer = os.pipe()
        self._reader, answers = os.pipe()
        try:
            self._pid = os.fork()
        except OSError as error:
            self._failure = f"no process can be started: {error.strerror}"
        if self._pid == 0 and not self._failure:
            os.close(self._writer)
            os.close(self._reader)
            _live(requests, answers, serve, prepare)
        os.close(requests)
        os.close(answers)

    def ask(self, request: bytes, limits: Limits) -> bytes:
        """Return the answer to a request. After a limit was reached the child is gone.

        Raises:
            LimitError: A limit was reached, the child died, or ``serve`` raised.
            UsageError: ``serve`` raised it.
            KeyboardInterrupt: SIGINT came inside :func:`llamactl.engine.guard.interruptible`.
        """
        if self._failure:
            raise LimitError(self._failure)
        try:
            with suppress(BrokenPipeError), open(self._writer, "wb", closefd=False) as pipe:
                pipe.write(_LENGTH.pack(len(request)) + struct.pack("<dQ", *_bounds(limits)) + request)
            answer = self._receive(limits)
        except BaseException:
            self._end(kill=True)
            raise
        self._idle = True
        kind, rest = answer[:1], answer[1:]
        if kind == _REFUSED:
            raise UsageError(*rest.decode("utf-8", "replace").split("\0", 1))
        if kind == _RAISED:
            raise LimitError(rest.decode("utf-8", "replace"))
        return rest

    def close(self) -> None:
        """End the child; asking it afterwards is an error."""
        self._end(kill=not self._idle)

    def _end(self, kill: bool) -> str:
        """Let the child end, or make it, and return how it ended; nothing when it had ended before."""
        if self._failure:
            return ""
        self._failure = "it was ended before"
        os.close(self._writer)
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        os.close(self._reader)
        return f"status {code}" if code >= 0 else f"signal {-code}"

    def __enter__(self) -> LimitedChild:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _receive(self, limits: Limits) -> bytes:
        end = monotonic() + limits.seconds
        found = bytearray()
        while len(found) < _LENGTH.size or len(found) < _LENGTH.size + _LENGTH.unpack_from(found)[0]:
            if guard.interrupted():
                raise KeyboardInterrupt
            left = end - monotonic()
            if left <= 0:
                raise LimitError(f"it takes more than {limits.seconds:g} s")
            if not select.select([self._reader], [], [], min(left, LOOK_EVERY_S))[0]:
                continue
            part = os.read(self._reader, _READ)
            if not part:
                how = self._end(kill=False)
                raise LimitError(
                    _too_much(limits) if how == f"status {NO_MEMORY}" else f"its process ended with {how}"
                )
            found += part
            if len(found) > limits.answer_bytes + _LENGTH.size + 1:
                raise LimitError(f"it makes more than {limits.answer_bytes:,} bytes")
        return bytes(found[_LENGTH.size :])


def _too_much(limits: Limits) -> str:
    return f"it takes more than {limits.more_bytes >> 20} MiB of memory"


def _bounds(limits: Limits) -> tuple[float, int]:
    return limits.seconds, limits.more_bytes


def _live(
    requests: int, answers: int, serve: Callable[[bytes], bytes], prepare: Callable[[], object]
) -> NoReturn:
    """Answer until the pipe closes, then leave without this process's exit handlers: they are the parent's."""
    try:
        gc.freeze()  # What is to be finalised is the parent's, and may lie in memory that a fork doesn't copy.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _CRASHES:
            signal.signal(number, signal.SIG_DFL)
        _lower(resource.RLIMIT_CORE, 0)
        prepare()
        own = _address_space()
        with open(requests, "rb") as source, open(answers, "wb") as sink:
            while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
                seconds, more_bytes = struct.unpack("<dQ", source.read(16))
                # Should the parent be killed while this one computes.
                _lower(
                    resource.RLIMIT_CPU, int(resource.getrusage(resource.RUSAGE_SELF).ru_utime + seconds) + 2
                )
                _lower(resource.RLIMIT_AS, own + more_bytes)
                _answer(source.read(_LENGTH.unpack(head)[0]), serve, more_bytes, sink)
    finally:
        os._exit(0)


def _answer(request: bytes, serve: Callable[[bytes], bytes], more_bytes: int, sink: BinaryIO) -> None:
    try:
        answer = _DONE + serve(request)
    except UsageError as error:
        answer = _REFUSED + f"{error.message}\0{error.hint}".encode("utf-8", "replace")
    except MemoryError:
        answer = _RAISED + f"it takes more than {more_bytes >> 20} MiB of memory".encode()
    except Exception as error:  # A program from a file: it can raise anything.
        answer = _RAISED + str(error)[:_READ].encode("utf-8", "replace")
    sink.write(_LENGTH.pack(len(answer)) + answer)
    sink.flush()


def _lower(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space() -> int:
    """Return this process's address space in bytes (``size`` of /proc/self/statm, proc_pid_statm(5))."""
    return int(proc_pid.read("self", "statm").split()[0]) * resource.getpagesize()
