"""Which functions of a running process are caught, where they lie, and what is kept of their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.process.engine.libraries import engine_library
from llamactl.process.memory.maps import ProcessMaps
from llamactl.process.symbols import Symbols, read_symbols
from llamactl.trace.capture.functions import Function
from llamactl.trace.record.syscalls.native import ffi, lib

FUNCTIONS = ("llama_", "whisper_")
"""What functions begin with that programs call; ggml's are called by llama.cpp for the most part."""
ENGINE_PREFIXES = tuple(name.encode() for name in FUNCTIONS)
GIL_FUNCTIONS = ("PyEval_SaveThread", "PyEval_RestoreThread")
CALLBACK_FUNCTIONS = ("PyGILState_Ensure", "PyGILState_Release")
"""Between these two C that llama.cpp has called runs Python."""
UNWINDERS = ("_Unwind_RaiseException", "_Unwind_ForcedUnwind", "_Unwind_Backtrace")
"""They walk the stack; breakpoints put the return addresses back before (exceptions, pthread_cancel)."""
PERSONALITY = "__gxx_personality_v0"
"""What C++ code with handlers or destructors asks for."""
LOADING = "_dl_debug_state"
"""What the dynamic linkers of glibc and musl call when libraries have come or gone, for debuggers."""
ALL_PREFIXES = (
    *ENGINE_PREFIXES,
    *(name.encode() for name in (*GIL_FUNCTIONS, *CALLBACK_FUNCTIONS, *UNWINDERS, PERSONALITY, LOADING)),
)
FLOAT, STRING = 5, 6


class EngineMissingError(LlamactlError):
    """The process has no llama.cpp, at least not yet."""


@dataclass(frozen=True, slots=True)
class Target:
    """One function that is caught.

    Attributes:
        name: Its symbol.
        library: Path of the object that defines it.
        address: In the process.
        offset: In the file.
        inner: Whether its library is also what calls it (a static program, a module with llama.cpp inside).
    """

    name: str
    library: str
    address: int
    offset: int
    inner: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a function's calls: the agent's table, without what this way can't see."""

    returns: str
    source: tuple[int, ...]
    index: tuple[int, ...]
    labels: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Found:
    """The targets of one process.

    Attributes:
        maps: The mappings they were found in.
        targets: Functions of llama.cpp, then those of the GIL when asked for, then unwinders.
        ranges: Where llama.cpp's own code lies, of libraries that others call.
        exports: The names that each library exports, for its rows of the agent's table.
        wanted: The names of ``FUNCTIONS`` that each other object asks the dynamic linker for.
        catching: The objects that call llama.cpp from C++ and so may catch its exceptions.
    """

    maps: ProcessMaps
    targets: tuple[Target, ...]
    ranges: tuple[tuple[int, int], ...]
    exports: dict[str, tuple[str, ...]]
    wanted: dict[str, frozenset[str]]
    catching: tuple[str, ...] = ()


Tables = dict[str, "Symbols | None"]


def find_targets(
    pid: int,
    names: frozenset[str] | None = None,
    gil: bool = False,
    unwinders: bool = False,
    tables: Tables | None = None,
) -> Found:
    """Look for llama.cpp in a process.

    Args:
        pid: The process.
        names: The functions to catch. None for those that its bindings ask the dynamic linker for, and
            those of the agent's table, since what ctypes looks up isn't written anywhere.
        gil: Whether to catch ``GIL_FUNCTIONS`` and ``CALLBACK_FUNCTIONS``.
        unwinders: Whether to find those as well, and ``LOADING``.
        tables: Symbols by path, which aren't read again; new ones are added.

    Raises:
        LlamactlError: The process is gone or may not be looked at.
    """
    maps = ProcessMaps(pid)
    known: Tables = {} if tables is None else tables
    found = {path: table for path in maps.objects() if (table := _symbols(maps, path, known)) is not None}
    wanted = {path: frozenset(n for n in t.wanted if n.startswith(FUNCTIONS)) for path, t in found.items()}
    engine = {path for path, table in found.items() if any(n.startswith(FUNCTIONS) for n in table.functions)}
    asked = frozenset().union(*(wanted[path] for path in wanted if path not in engine))
    exports = {path: tuple(found[path].functions) for path in engine}
    # A library that others call is the boundary, whatever it is called; else it has the engine inside.
    own = {path for path in found if is_engine(path) or not asked.isdisjoint(exports.get(path, ()))}
    targets: list[Target] = []
    for path, table in found.items():
        for name, address in table.functions.items():
            if _is_caught(name, path, engine, names, asked, exports, gil, unwinders):
                targets += _located(maps, path, table, name, address, path not in own)
    ranges = tuple(
        (piece.start, piece.end) for piece in maps.pieces if piece.executable and piece.path in own
    )
    order = dict.fromkeys((*GIL_FUNCTIONS, *CALLBACK_FUNCTIONS), 1) | dict.fromkeys((*UNWINDERS, LOADING), 2)
    targets.sort(key=lambda target: (order.get(target.name, 0), target.library, target.name))
    callers = {path for path in found if wanted[path] or path in engine} - own
    catching = tuple(sorted(path for path in callers if PERSONALITY in found[path].wanted))
    return Found(maps, tuple(targets), ranges, exports, wanted, catching)


def _is_caught(
    name: str,
    path: str,
    engine: set[str],
    names: frozenset[str] | None,
    asked: frozenset[str],
    exports: dict[str, tuple[str, ...]],
    gil: bool,
    unwinders: bool,
) -> bool:
    if name in GIL_FUNCTIONS or name in CALLBACK_FUNCTIONS:
        return gil
    if name in UNWINDERS or name == LOADING:
        return unwinders
    if path not in engine or not name.startswith(FUNCTIONS):
        return False
    if names is not None:
        return name in names
    # Nothing is kept of whisper.cpp's arguments, so they have no rows.
    return (
        name in asked or name.startswith("whisper_") or kept_of(name, exports[path], frozenset()) is not None
    )


def _symbols(maps: ProcessMaps, path: str, known: Tables) -> Symbols | None:
    if path not in known:
        try:
            known[path] = read_symbols(maps.readable(path), ALL_PREFIXES)
        except OSError:
            known[path] = None
    return known[path]


def _located(
    maps: ProcessMaps, path: str, table: Symbols, name: str, address: int, inner: bool
) -> list[Target]:
    offset = table.offset_of(address)
    if offset is None:
        return []
    return [
        Target(name, path, piece.start + offset - piece.offset, offset, inner)
        for piece in maps.executable(path)
        if piece.offset <= offset < piece.offset + piece.end - piece.start
    ][:1]


def is_engine(path: str) -> bool:
    """Return whether a path is that of one of llama.cpp's own libraries, by its name."""
    return engine_library(path.rpartition("/")[2]) != ""


def kept_of(name: str, exports: tuple[str, ...], unseen: frozenset[int]) -> Kept | None:
    """Return what the agent's table keeps of a function's arguments; None without a row.

    Args:
        name: The function.
        exports: Names that its library exports, by which the table tells versions apart.
        unseen: Sources (``FLOAT``, ``STRING``) that can't be read; they are left out.
    """
    needed = [ffi.new("char[]", export.encode()) for export in exports if export in _TELLING]
    row: Any = ffi.new("struct point_row *")
    if not lib.points_row(name.encode(), ffi.new("char *[]", [*needed, ffi.NULL]), row):
        return None
    rows = [(row.source[i], row.index[i], ffi.string(row.label[i]).decode()) for i in range(row.count)]
    seen = [item for item in rows if item[0] not in unseen]
    texts = [label.partition(":")[0] for source, _, label in seen if source == STRING]
    returns = row.returns.decode("latin-1")
    return Kept(
        returns="" if returns == "f" and FLOAT in unseen else returns,
        source=tuple(source for source, _, _ in seen),
        index=tuple(index for _, index, _ in seen),
        labels=tuple(label for source, _, label in seen if source != STRING),
        text=texts[0] if texts else "",
    )


_TELLING = frozenset({"llama_load_mode_name", "llama_process"})


def function_of(target: Target, kept: Kept | None, caller: str, via: str) -> Function:
    """Return the row of the metadata's function table."""
    if kept is None:
        return Function(target.name, caller, target.library, via)
    return Function(target.name, caller, target.library, via, kept.labels, kept.text, kept.returns)
