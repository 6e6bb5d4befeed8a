"""Whose a futex is: the holder of a mutex, the thread that is joined, the holder of Python's GIL.

A futex is a word in memory, and who is to wake its waiters is known only where the word's library keeps it:
``FUTEX_LOCK_PI`` in the word itself (futex(2)), glibc's mutexes beside it (``struct __pthread_mutex_s``:
lock, count, owner), a stream's lock as a pointer to a thread (``_IO_lock_t``), and ``pthread_join`` waits for
the word that holds the other thread's number until it ends. CPython keeps the last holder of the GIL
beside its condition variable (``struct _gil_runtime_state``).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from dataclasses import dataclass

from llamactl.process.target_memory import TargetMemory
from llamactl.process.threads.stacks import SELF_AT, TID_AT
from llamactl.process.threads.waiting import Wait

_WAIT, _LOCK_PI, _WAIT_BITSET, _LOCK_PI2 = 0, 6, 9, 13  # linux/futex.h
_PRIVATE, _CLOCK_REALTIME = 128, 256
_OWNER = 0x3FFFFFFF
_LOCKED_WITH_WAITERS = 2
# nptl's kinds of mutexes (pthreadP.h): type, robust, priority, shared, elision.
_KINDS = 0x3FF
_MOST_PIDS = 1 << 22
_SIGNALS_AT = (32, 36, 40, 44)  # of a condition variable's words that are waited for, by glibc's version
_TSTATE_WORDS = 48
_INTERVALS = range(1, 10_000_001)  # microseconds


@dataclass(frozen=True, slots=True)
class FutexWait:
    """A thread's wait for a futex.

    ``kind`` is ``mutex``, ``stream``, ``join``, ``gil`` or ``unknown``; ``owner`` is the number of the
    thread that can end it, None where it can't be told. ``forever`` is without a time limit; ``private``
    means that only threads with the same memory can wake it.
    """

    address: int
    kind: str
    owner: int | None
    forever: bool
    private: bool


def look_at(wait: Wait, memory: TargetMemory, threads: Collection[int], *, in_gil: bool) -> FutexWait | None:
    """Return what a futex that is waited for is; None where the call isn't such a wait.

    Args:
        wait: The thread's system call.
        memory: The process's memory.
        threads: Its threads.
        in_gil: The word lies in CPython's runtime.
    """
    if wait.call != "futex" or len(wait.arguments) < 4:
        return None
    address, operation, value, limit = wait.arguments[:4]
    kind = operation & ~(_PRIVATE | _CLOCK_REALTIME)
    forever, private = limit == 0, bool(operation & _PRIVATE)
    if kind not in (_WAIT, _WAIT_BITSET, _LOCK_PI, _LOCK_PI2):
        return None
    word = _int(memory.read(address, 4))
    if word is not None and kind in (_LOCK_PI, _LOCK_PI2):
        return FutexWait(address, "mutex", word & _OWNER or None, forever, private)
    if word is not None and word & 0xFFFFFFFF == value & 0xFFFFFFFF:
        if value in threads and thread_at(memory, address - TID_AT) == value:
            return FutexWait(address, "join", value & _OWNER, forever, private)
        if value & 0xFFFFFFFF == _LOCKED_WITH_WAITERS and (found := _mutex(memory, address)):
            return FutexWait(address, *found, forever, private)
        if value & _OWNER in threads and value & (1 << 31):  # a robust mutex keeps its owner in the word
            return FutexWait(address, "mutex", value & _OWNER, forever, private)
    if in_gil and (holder := gil_holder(memory, address, threads)):
        return FutexWait(address, "gil", holder, forever, private)
    return FutexWait(address, "gil" if in_gil else "unknown", None, forever, private)


def _int(data: bytes) -> int | None:
    return int(struct.unpack("<i", data)[0]) if len(data) == 4 else None


def _mutex(memory: TargetMemory, address: int) -> tuple[str, int] | None:
    data = memory.read(address, 20)
    if len(data) < 20:
        return None
    _, count, owner, users, kind = struct.unpack("<iIiIi", data)
    if 0 < owner < _MOST_PIDS and count < 1 << 16 and 0 < users < 1 << 16 and 0 <= kind <= _KINDS:
        return "mutex", owner
    (thread,) = struct.unpack_from("<Q", data, 8)
    number = thread_at(memory, thread)
    return ("stream", number) if number else None


def thread_at(memory: TargetMemory, descriptor: int) -> int | None:
    """Return the number of the thread whose ``struct pthread`` is at an address (glibc, x86-64)."""
    if os.uname().machine != "x86_64" or not descriptor or descriptor % 16:
        return None
    words = memory.words(descriptor, SELF_AT // 8 + 1)
    if not words or words[0] != descriptor or words[SELF_AT // 8] != descriptor:
        return None
    return _int(memory.read(descriptor + TID_AT, 4)) or None


def gil_holder(memory: TargetMemory, address: int, threads: Collection[int]) -> int | None:
    """Return the thread that holds the GIL, from the word that a waiting thread waits for.

    The lock's struct begins with interval, last holder, whether it is held and how often it went from one
    thread to another, and the condition variable follows. The holder's ``PyThreadState`` names its thread
    (``native_thread_id``, CPython 3.11 and newer).
    """
    state, _ = _gil(memory, address)
    named = {word for word in memory.words(state, _TSTATE_WORDS) if word in threads} if state else set()
    return named.pop() if len(named) == 1 else None


def gil_switches(memory: TargetMemory, address: int) -> int | None:
    """Return how often the GIL has gone from one thread to another so far; None while nobody holds it."""
    state, switches = _gil(memory, address)
    return switches if state else None


def _gil(memory: TargetMemory, address: int) -> tuple[int, int]:
    """Return the address of the holder's state and the number of switches; zeros where there are none."""
    for at in _SIGNALS_AT:
        interval, state, locked, switches = memory.words(address - at - 32, 4) or (0, 0, 0, 0)
        if interval in _INTERVALS and locked & 0xFFFFFFFF == 1:
            return state, switches
    return 0, 0
