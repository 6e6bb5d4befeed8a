"""One traced thread of the engine ``python``: its system call in progress, read through python-ptrace."""

from __future__ import annotations

import errno
import platform
import time
from dataclasses import dataclass, field
from typing import Any

from llamactl.trace.capture.record import UNKNOWN_NR, Flag, Kind
from llamactl.trace.decode.ptrace_library import RETURN_VALUE_REGISTER, SYSCALL_REGISTER, PtraceError
from llamactl.trace.decode.table import I386, arch_of
from llamactl.trace.record.syscalls.python_buffer import RecordBuffer, Row
from llamactl.trace.record.syscalls.texts import Part, TextKind, rule_of
from llamactl.trace.record.syscalls.world_calls import ALWAYS, asks_for

NATIVE = arch_of(platform.machine())
USER_32_CS = 0x23
"""The code segment of a 32-bit program on x86-64 (asm/segment.h)."""
ARGUMENTS_32 = ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp")
TEXT_LIMIT = 4096
VECTOR_LIMIT = 64
WORD = 8
ARGUMENTS = {
    "x86_64": ("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    "aarch64": ("r0", "r1", "r2", "r3", "r4", "r5"),
    "riscv64": ("a0", "a1", "a2", "a3", "a4", "a5"),
    "ppc64le": ("gpr3", "gpr4", "gpr5", "gpr6", "gpr7", "gpr8"),
    "i686": ("ebx", "ecx", "edx", "esi", "edi", "ebp"),
    "armv7l": ("r0", "r1", "r2", "r3", "r4", "r5"),
}.get(platform.machine(), ())
NO_CALL = 2**64 - 1


@dataclass(slots=True)
class Thread:
    """A traced thread; ``process`` is python-ptrace's object for it."""

    process: Any
    tid: int
    pid: int
    in_call: bool = False
    flags: int = 0
    asks_for: int = 0
    """What a traced program can't have, of ``world_calls``."""
    nr: int = 0
    arch: int = NATIVE
    start: int = 0
    args: tuple[int, ...] = ()
    texts: list[bytes] = field(default_factory=lambda: [b"", b""])

    def enter(self, selection: frozenset[int] | None) -> bool:
        """Read the registers and strings of a call that begins; return whether it is selected."""
        registers = self.process.getregs()
        number = int(getattr(registers, SYSCALL_REGISTER))
        self.in_call = True
        if arch_of("x86_64") == NATIVE and registers.cs == USER_32_CS:
            self._enter_foreign(number, registers)
            return True
        self.arch = NATIVE
        if number in ALWAYS:
            self.asks_for |= asks_for(number, *(int(getattr(registers, name)) for name in ARGUMENTS[:2]))
        self.nr = number if number < UNKNOWN_NR else UNKNOWN_NR
        if selection is not None and number not in selection:
            self.start = 0
            return False
        self.flags = 0
        self.args = tuple(int(getattr(registers, name)) for name in ARGUMENTS) or (0,) * 6
        self.texts = [b"", b""]
        if rule_of(number) is not None:
            self._read_texts(at_exit=False)
        self.start = time.monotonic_ns()
        return True

    def _enter_foreign(self, number: int, registers: Any) -> None:
        """Take a call of a 32-bit program: its numbers mean other calls, so it is recorded whatever was selected."""
        self.arch, self.flags = I386, 0
        self.nr = number if number < UNKNOWN_NR else UNKNOWN_NR
        self.args = tuple(int(getattr(registers, name)) & 0xFFFFFFFF for name in ARGUMENTS_32)
        self.texts = [b"", b""]
        self.start = time.monotonic_ns()

    def leave(self, buffer: RecordBuffer) -> None:
        """Record a call that has returned; one that isn't selected is forgotten."""
        self.in_call = False
        if not self.start:
            return
        end = time.monotonic_ns()
        result = int(getattr(self.process.getregs(), RETURN_VALUE_REGISTER))
        result -= (result >> 63) << 64
        if result >= 0 and self.arch == NATIVE and rule_of(self.nr) is not None:
            self._read_texts(at_exit=True)
        self._add(buffer, end - self.start, result)

    def refuse(self) -> None:
        """Have the call that is about to be made fail with ENOSYS (ptrace(2); on x86-64)."""
        if platform.machine() == "x86_64":
            registers = self.process.getregs()
            registers.orig_rax, registers.rax = NO_CALL, 2**64 - errno.ENOSYS
            self.process.setregs(registers)

    def give_up(self, buffer: RecordBuffer) -> None:
        """Record the call that the thread is in as one that never returned."""
        if self.in_call and self.start:
            self.in_call = False
            self.flags |= Flag.NO_EXIT
            self._add(buffer, 0, 0)

    def still_in_call(self, buffer: RecordBuffer) -> None:
        """Record the call that the thread is in as one that hasn't returned yet; called by another thread."""
        if self.in_call and self.start:
            self._add(buffer, 0, 0, self.flags | Flag.NO_EXIT)

    def _add(self, buffer: RecordBuffer, duration: int, result: int, flags: int | None = None) -> None:
        row = Row(
            Kind.SYSCALL,
            self.flags if flags is None else flags,
            self.nr,
            self.arch,
            self.tid,
            self.pid,
            self.start,
            duration,
            result,
            self.args,
        )
        buffer.add(row, *self.texts)

    def _read_texts(self, at_exit: bool) -> None:
        for index, part in enumerate(rule_of(self.nr) or ()):
            address = self.args[part.argument]
            if part.kind is TextKind.NONE or (part.kind >= TextKind.OUT_BYTES) != at_exit or not address:
                continue
            try:
                self.texts[index] = self._read(part, address)
            except (PtraceError, OSError, OverflowError, ValueError):
                self.flags |= Flag.TEXT_CUT  # The address is bad, as the call itself will find.

    def _read(self, part: Part, address: int) -> bytes:
        process = self.process
        if part.kind is TextKind.STRING:
            return self._string(address)
        if part.kind is TextKind.VECTOR:
            return self._vector(address)
        size = part.size
        if part.kind is TextKind.SIZED:
            size = self.args[part.size]
        elif part.kind is TextKind.OUT_SIZED:
            size = int.from_bytes(process.readBytes(self.args[part.size], 4), "little")
        if size > TEXT_LIMIT:
            self.flags |= Flag.TEXT_CUT
        return bytes(process.readBytes(address, min(size, TEXT_LIMIT))) if size else b""

    def _string(self, address: int) -> bytes:
        data, cut = self.process.readCString(address, TEXT_LIMIT)
        if cut:
            self.flags |= Flag.TEXT_CUT
        return bytes(data)

    def _vector(self, address: int) -> bytes:
        found = bytearray()
        for index in range(VECTOR_LIMIT):
            pointer = int.from_bytes(self.process.readBytes(address + index * WORD, WORD), "little")
            if not pointer:
                return bytes(found)
            found += self._string(pointer) + b"\0"
            if len(found) >= TEXT_LIMIT:
                break
        self.flags |= Flag.TEXT_CUT
        return bytes(found)
