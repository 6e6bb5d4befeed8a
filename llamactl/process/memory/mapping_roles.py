"""What each mapping is for: by its file, its neighbours, and the stacks that threads really use."""

from __future__ import annotations

from collections.abc import Callable

from llamactl.process.engine.libraries import is_library, is_python, library_role
from llamactl.process.files.device_nodes import GPU_NODES
from llamactl.process.memory.smaps import Smaps
from llamactl.process.reach import DELETED

_ARENA = 64 << 20  # HEAP_MAX_SIZE of glibc's malloc on 64-bit machines
_KERNEL = frozenset({"[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]"})
_SHARED_MEMORY = ("/dev/shm/", "/SYSV", "/memfd:", "/dev/zero", "[anon_shmem:")  # noqa: S108 - looked at

Role = tuple[str, str]


def find_roles(
    maps: Smaps,
    program: str,
    is_model: Callable[[int], bool],
    zeroed_bytes: Callable[[str], int],
    stacks: dict[int, int],
) -> list[Role]:
    """Return role and detail of every mapping.

    Args:
        maps: The mappings.
        program: The file that the process executes.
        is_model: Tells from a mapping's index whether its file is a GGUF.
        zeroed_bytes: Tells how much memory a library or program takes beyond its file.
        stacks: Thread by index of the mapping that is its stack.
    """
    known: dict[str, Role] = {}
    roles: list[Role] = []
    for index, path in enumerate(maps.path):
        if path and not path.startswith("[anon:"):
            role = known.get(path)
            if role is None:
                role = known[path] = role_of_path(path, program, lambda index=index: is_model(index))  # type: ignore[misc]
        elif index in stacks:
            role = ("stack", f"thread {stacks[index]}")
        else:
            role = _anonymous(maps, index, roles, zeroed_bytes)
        roles.append(role)
    return roles


def role_of_path(path: str, program: str, is_model: Callable[[], bool]) -> Role:
    """Return role and detail of a mapping that has a name.

    Args:
        path: As ``maps`` has it.
        program: The file that the process executes; empty where that isn't known.
        is_model: Tells whether the file is a GGUF.
    """
    plain = path.removesuffix(DELETED)
    name = plain.rpartition("/")[2]
    if path in ("[heap]", "[stack]"):
        return path[1:-1], "" if path == "[heap]" else "main thread"
    if path in _KERNEL:
        return "kernel", ""
    if path.startswith(GPU_NODES):
        return "gpu device", ""
    if path.startswith("/anon_hugepage") or "/hugepages" in path:
        return "huge pages", ""
    if is_library(name):
        return library_role(name), ""
    if path.startswith("/") and is_model():
        return "weights", ""
    if path.startswith(_SHARED_MEMORY):
        return "shared memory", ""
    if is_python(name):
        return "python", "program"
    return ("program", "") if plain == program.removesuffix(DELETED) else ("file", "")


def _anonymous(maps: Smaps, index: int, roles: list[Role], zeroed_bytes: Callable[[str], int]) -> Role:
    permissions = maps.permissions[index]
    if permissions == "---p":
        return "reserved", ""
    if maps.huge_pages[index]:
        return "huge pages", ""
    if _is_zeroed_data(maps, index, zeroed_bytes):
        return roles[index - 1][0], "zeroed data"
    if _is_arena(maps, index):
        return "heap", "malloc arena of a thread"
    name = maps.path[index].removeprefix("[anon:").rstrip("]")
    return "anonymous", name or ("executable" if "x" in permissions else "")


def _is_zeroed_data(maps: Smaps, index: int, zeroed_bytes: Callable[[str], int]) -> bool:
    """Tell whether a mapping is the part of a file's data that the file doesn't hold.

    An allocation that happens to lie next to it merges with it: the larger part decides.
    """
    before = index - 1
    if before < 0 or maps.end[before] != maps.start[index] or not maps.inode[before]:
        return False
    if maps.permissions[index] != "rw-p" or maps.permissions[before] not in ("rw-p", "r--p"):
        return False
    return 2 * zeroed_bytes(maps.path[before]) > maps.end[index] - maps.start[index]


def _is_arena(maps: Smaps, index: int) -> bool:
    """Tell whether a mapping is the used part of a malloc arena: aligned, the rest of it reserved."""
    if maps.start[index] % _ARENA or maps.permissions[index] != "rw-p":
        return False
    if maps.end[index] % _ARENA == 0:
        return maps.end[index] - maps.start[index] == _ARENA
    following = index + 1
    return (
        following < len(maps)
        and maps.start[following] == maps.end[index]
        and maps.permissions[following] == "---p"
        and maps.end[following] == maps.start[index] + _ARENA
    )
