"""The address space of a process, read once: mappings, stacks, libraries, models, buffers."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence

from llamactl.snapshot.process.buffers import Buffer, find_buffers
from llamactl.snapshot.process.elf import Elf, read_elf
from llamactl.snapshot.process.libraries import is_library
from llamactl.snapshot.process.mapping_roles import DELETED, Role, find_roles
from llamactl.snapshot.process.mappings import Mapping, build_mappings
from llamactl.snapshot.process.memory import ModelFile
from llamactl.snapshot.process.model_files import read_magic, read_model
from llamactl.snapshot.process.proc import ProcessDir
from llamactl.snapshot.process.smaps import Smaps, parse_smaps
from llamactl.snapshot.process.stacks import Stack, find_stacks
from llamactl.snapshot.process.target_memory import TargetMemory

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
                self._elves[path] = read_elf(self.process.path(path))
            except OSError:  # deleted, or in a place that we can't reach
                self._elves[path] = None
        return self._elves[path]

    def libraries(self) -> Table[str, Elf | None]:
        """Return the mapped libraries, and the program, by path."""
        paths = {path for path in self.maps.path if is_library(path.removesuffix(DELETED).rpartition("/")[2])}
        return {path: self.elf(path) for path in sorted(paths | {self.program}) if path.startswith("/")}

    def _zeroed_bytes(self, path: str) -> int:
        elf = self.elf(path)
        return elf.zeroed_bytes if elf else 0

    def _is_model(self, index: int) -> bool:
        path = self.maps.path[index]
        plain = path.removesuffix(DELETED)
        size = self.maps.end[index] - self.maps.start[index]
        if not plain.endswith(".gguf") and size < _SMALLEST_UNNAMED_MODEL:
            return False
        readable = self._readable(index)
        if read_magic(readable) != b"GGUF":
            return False
        self.add_model(plain, readable)
        return True

    def _readable(self, index: int) -> str:
        """Return a path to the mapped file; the link in ``map_files`` reaches a deleted one, as root."""
        path = self.maps.path[index]
        if path.endswith(DELETED):
            return f"/proc/{self.process.pid}/map_files/{self.maps.start[index]:x}-{self.maps.end[index]:x}"
        return str(self.process.path(path))

    def add_model(self, path: str, readable: str) -> None:
        """Remember a model that the process uses without having it mapped, such as one it has open."""
        if path not in self._models:
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
