"""The address space of a process, read once: mappings, stacks, libraries, models, buffers."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from pathlib import Path

from llamactl.process.answering import answers
from llamactl.process.elf import Elf, read_elf
from llamactl.process.engine.libraries import is_library
from llamactl.process.memory.mapping_roles import Role, find_roles
from llamactl.process.memory.smaps import Smaps, parse_smaps
from llamactl.process.proc import ProcessDir
from llamactl.process.reach import DELETED
from llamactl.process.target_memory import TargetMemory
from llamactl.process.threads.stacks import Stack, find_stacks
from llamactl.snapshot.process.buffers import Buffer, find_buffers
from llamactl.snapshot.process.mappings import Mapping, build_mappings
from llamactl.snapshot.process.memory import ModelFile
from llamactl.snapshot.process.model_files import read_magic, read_model

_SMALLEST_UNNAMED_MODEL = 1 << 20


class AddressSpace:
    """What of a process's memory several sections need; each part is worked out when first asked for.

    Raises:
        OSError: The mappings can't be read.
    """

    def __init__(self, process: ProcessDir, program: str, threads: set[int]) -> None:
        self.process = process
        self.program = program
        self.maps: Smaps = parse_smaps(process.read("smaps"))
        self.memory = TargetMemory(process)
        self.stacks: dict[int, Stack] = find_stacks(self.memory, self.maps, threads - {process.pid})
        self._first = {path: index for index, path in reversed(list(enumerate(self.maps.path)))}
        self._elves: dict[str, Elf | None] = {}
        self._models: dict[str, ModelFile] = {}
        by_mapping = {stack.mapping: thread for thread, stack in self.stacks.items()}
        self.roles: list[Role] = find_roles(
            self.maps, program, self._is_model, self._zeroed_bytes, by_mapping
        )

    def elf(self, path: str) -> Elf | None:
        """Return a mapped file as ELF, None when it can't be read or is none."""
        if path not in self._elves:
            try:
                self._elves[path] = read_elf(self.readable(path))
            except OSError:  # deleted, or in a place that we can't reach
                self._elves[path] = None
        return self._elves[path]

    def readable(self, path: str) -> Path:
        """Return where a file can be read by us; for a mapped one, where exactly that one can."""
        index = self._first.get(path)
        found = None if index is None else self._mapped(index)
        return self.process.path(path) if found is None else found

    def _mapped(self, index: int) -> Path | None:
        maps = self.maps
        piece = (maps.start[index], maps.end[index])
        return self.process.mapped(maps.path[index], maps.device[index], maps.inode[index], piece)

    def libraries(self) -> Table[str, Elf | None]:
        """Return the mapped files that are code by path: what is mapped to be executed, and libraries by name.

        What a name says isn't enough: a plugin or a program that the loader was asked for by hand has any.
        """
        paths = {
            path
            for path, permissions in zip(self.maps.path, self.maps.permissions, strict=True)
            if "x" in permissions or is_library(path.removesuffix(DELETED).rpartition("/")[2])
        }
        return {path: self.elf(path) for path in sorted(paths | {self.program}) if path.startswith("/")}

    def mark_engine(self, paths: set[str]) -> None:
        """Give the files that hold the engine, whatever they are called, that role."""
        for index, path in enumerate(self.maps.path):
            if path in paths:
                self.roles[index] = ("engine", self.roles[index][1])

    def _zeroed_bytes(self, path: str) -> int:
        elf = self.elf(path)
        return elf.zeroed_bytes if elf else 0

    def _is_model(self, index: int) -> bool:
        path = self.maps.path[index]
        plain = path.removesuffix(DELETED)
        size = self.maps.end[index] - self.maps.start[index]
        if not plain.endswith(".gguf") and size < _SMALLEST_UNNAMED_MODEL:
            return False
        readable = self._mapped(index)
        if readable is None or read_magic(readable) != b"GGUF":
            return False
        self.add_model(plain, str(readable))
        return True

    def add_model(self, path: str, readable: str) -> None:
        """Remember a model that the process uses without having it mapped, such as one it has open."""
        if path in self._models or any(_is_same(readable, known.readable) for known in self._models.values()):
            return  # One file may have two names, such as inside and outside of a chroot.
        self._models[path] = ModelFile(path, readable, read_model(path, readable))

    def models(self) -> Sequence[ModelFile]:
        """Return the models found so far."""
        return list(self._models.values())

    def buffers(self) -> list[Buffer]:
        """Return the large buffers in anonymous memory, with what can be told of them."""
        anonymous = [index for index, (role, _) in enumerate(self.roles) if role == "anonymous"]
        sizes = [model.header.size for model in self.models() if model.header]
        return find_buffers(self.memory, self.maps, anonymous, sizes)

    def mappings(self, buffers: Sequence[Buffer]) -> list[Mapping]:
        """Return the mappings; one of which most is a known buffer has that buffer's role."""
        roles = list(self.roles)
        for buffer in buffers:
            size = self.maps.end[buffer.mapping] - self.maps.start[buffer.mapping]
            if buffer.role != "unknown" and 2 * buffer.size_bytes > size:
                roles[buffer.mapping] = (buffer.role, buffer.evidence)
        return build_mappings(self.maps, roles)

    def futex_owner(self, address: int) -> str:
        """Return whose word a futex is: the GIL, a library's data, or an empty text for the heap."""
        index = self.maps.ranges.find(address)
        if index is None:
            return ""
        while index > 0 and self.roles[index][1] == "zeroed data":
            index -= 1
        path = self.maps.path[index]
        if not path.startswith("/"):
            return "a stack" if self.roles[index][0] == "stack" else ""
        return "the GIL" if self._in_runtime(path, address) else path.rpartition("/")[2]

    def _in_runtime(self, path: str, address: int) -> bool:
        """Tell whether an address is in CPython's ``_PyRuntime``, where its GIL is (3.7 and newer)."""
        elf = self.elf(path) if "python" in path.rpartition("/")[2] else None
        symbol = elf.symbol("_PyRuntime") if elf else None
        if elf is None or symbol is None:
            return False
        base = self.maps.start[self.maps.path.index(path)] - (elf.segments[0][0] & ~4095)
        return symbol[0] <= address - base < symbol[0] + symbol[1]


def _is_same(one: str, other: str) -> bool:
    try:
        return answers(one) and answers(other) and Path(one).samefile(other)
    except OSError:
        return False
