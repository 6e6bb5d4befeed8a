"""Write the type stubs of the CFFI modules (``llamactl/**/_*.pyi``) from their declarations in ``ffi_build.py``.

Usage: python llama.cpp/ffi_stubs.py [--check]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from cffi import model

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ffi_build  # noqa: E402 - it lies at the top

MODULES = ("engine", "gguf", "kernel", "tracer", "proc", "bench")
SCALARS = {"_Bool": "bool", "char": "bytes", "float": "float", "double": "float"}
"""All others are int."""
HEAD = '''# Written by llama.cpp/ffi_stubs.py from the declarations in ffi_build.py.
# ruff: noqa
"""The compiled module's types: C's integers are int, a struct is a class, and so is a pointer to it."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, TypeVar, overload

from _cffi_backend import CType
from _cffi_backend import buffer as _Buffer
from typing_extensions import Self

_T = TypeVar("_T")
_D = TypeVar("_D", bound="CData")

class CData:
    """What CFFI hands out: a pointer, an array or a struct."""

    def __getitem__(self, index: int | slice, /) -> Any: ...
    def __setitem__(self, index: int | slice, value: Any, /) -> None: ...
    def __add__(self, other: int, /) -> Self: ...
    def __sub__(self, other: int, /) -> Self: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __int__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class Null(CData): ...

_CData: TypeAlias = CData

Pointer: TypeAlias = CData | bytes | list[Any] | tuple[Any, ...]
'''
FFI_HEAD = """
class _FFI:
    NULL: Null
    CData: type[_CData]
    errno: int
"""
FFI_TAIL = """
    def new(self, cdecl: str | CType, init: Any = ...) -> _CData: ...
    def cast(self, cdecl: str | CType, value: Any) -> _CData: ...
    def buffer(self, cdata: _CData, size: int = ...) -> _Buffer: ...
    @overload
    def from_buffer(self, python_buffer: Any, /) -> _CData: ...
    @overload
    def from_buffer(self, cdecl: str, python_buffer: Any, require_writable: bool = ...) -> _CData: ...
    def string(self, cdata: _CData, maxlen: int = ...) -> bytes: ...
    def unpack(self, cdata: _CData, length: int) -> Any: ...
    def gc(self, cdata: _D, destructor: Callable[[Any], Any] | None, size: int = ...) -> _D: ...
    def addressof(self, cdata: Any, *field_or_index: str | int) -> _CData: ...
    def memmove(self, dest: Any, src: Any, n: int) -> None: ...
    def new_handle(self, x: Any, /) -> _CData: ...
    def from_handle(self, x: _CData, /) -> Any: ...
    def def_extern(self, name: str = ..., error: Any = ...) -> Callable[[Callable[..., _T]], Callable[..., _T]]: ...
    def typeof(self, cdecl: str | _CData, /) -> CType: ...
    def sizeof(self, cdecl: str | CType | _CData, /) -> int: ...
    def offsetof(self, cdecl: str | CType, *field_or_index: str | int) -> int: ...
    def release(self, cdata: _CData, /) -> None: ...

class _Lib:
"""


def main() -> int:
    """Write the stubs, or say which ones aren't what they would be."""
    wrong = 0
    for name in MODULES:
        builder = getattr(ffi_build, name)()
        path = ROOT / f"{builder._assigned_source[0].replace('.', '/')}.pyi"
        text = _formatted(stub(builder), path)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} isn't what the declarations say: python llama.cpp/ffi_stubs.py")
            wrong = 1
    return wrong


def _formatted(text: str, path: Path) -> str:
    command = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", str(path), "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def stub(builder: Any) -> str:
    """Return the text of a module's stub."""
    declared = {key: kind for key, (kind, _) in builder._parser._declarations.items()}
    structs = {part.name: part for kind in declared.values() for part in _parts(kind)}
    lines = [HEAD, *(line for _, struct in sorted(structs.items()) for line in _struct(struct)), FFI_HEAD]
    for name, struct in sorted(structs.items()):
        if struct.fldnames:
            words = ", ".join(f'"{prefix}{name}{end}"' for prefix in ("struct ", "") for end in (" *", "[]"))
            lines.append(
                f"    @overload\n    def new(self, cdecl: Literal[{words}], init: Any = ...) -> {name}: ..."
            )
    if lines[-1] != FFI_HEAD:
        lines.append("    @overload")
    lines.append(FFI_TAIL)
    for key, kind in sorted(declared.items()):
        what, _, name = key.partition(" ")
        if what == "function":
            arguments = "".join(f", _{number}: {_given(one)}" for number, one in enumerate(kind.args))
            lines.append(f"    def {name}(self{arguments}, /) -> {_result(kind.result)}: ...")
        elif what == "extern_python":
            lines.append(f"    {name}: CData")
        elif what in ("macro", "constant"):
            lines.append(f"    {name}: int")
        elif isinstance(kind, model.EnumType):
            lines += [f"    {constant}: int" for constant in kind.enumerators]
    return "\n".join([*lines, "", "ffi: _FFI", "lib: _Lib", ""])


def _struct(struct: model.StructType) -> list[str]:
    item = f"    def __getitem__(self, index: int | slice, /) -> {struct.name}: ..."
    return [
        f"class {struct.name}(CData):",
        item,
        *(f"    {name}: {_result(kind)}" for name, kind in _fields(struct)),
    ]


def _fields(struct: Any) -> list[tuple[str, Any]]:
    """Return a struct's fields, and those of the nameless unions in it."""
    fields = zip(struct.fldnames or (), struct.fldtypes or (), strict=True)
    return [one for name, kind in fields for one in ([(name, kind)] if name else _fields(kind))]


def _parts(kind: Any) -> list[Any]:
    """Return the structs that a type is made of or points to."""
    if isinstance(kind, model.StructType):
        return [kind]
    inner = [getattr(kind, "totype", None), getattr(kind, "item", None), getattr(kind, "result", None)]
    return [part for one in (*inner, *getattr(kind, "args", ())) if one is not None for part in _parts(one)]


def _given(kind: Any) -> str:
    """What Python may give for an argument."""
    text = _result(kind)
    if text == "CData":
        return "Pointer"
    if text == "bool":
        return "int"
    pointer = isinstance(kind, model.PointerType)
    return f"{text} | Null" if pointer else text


def _result(kind: Any) -> str:
    """What Python gets of this type."""
    if isinstance(kind, model.VoidType):
        return "None"
    if isinstance(kind, model.PrimitiveType):
        return SCALARS.get(kind.name, "int")
    if isinstance(kind, model.EnumType):
        return "int"
    if isinstance(kind, model.StructType):
        return str(kind.name)
    if isinstance(kind, model.PointerType) and isinstance(kind.totype, model.StructType):
        return str(kind.totype.name)
    return "CData"


if __name__ == "__main__":
    sys.exit(main())
