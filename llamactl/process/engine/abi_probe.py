"""Run by another interpreter, any Python 3: print how its bindings lay out llama.cpp's structs.

The arguments are the modules to ask. Sizes come from the binding's own classes: a struct of ctypes shows
itself as memory, and its fields know their places; CFFI is asked through the module's own ``ffi``.
"""

import importlib
import json
import sys
from typing import Any


def from_classes(module: Any) -> Any:
    """Return the layouts of the module's structs that are classes with ``_fields_``."""
    found = {}
    for name, kind in vars(module).items():
        if name.startswith("llama_") and isinstance(kind, type) and hasattr(kind, "_fields_"):
            places = {entry[0]: getattr(kind, entry[0]) for entry in kind._fields_}
            fields = {field: [place.offset, place.size] for field, place in places.items()}
            found[name] = {"size": memoryview(kind()).nbytes, "fields": fields}
    return found


def from_ffi(ffi: Any, names: Any) -> Any:
    """Return the layouts of the structs that a CFFI module declares."""
    found = {}
    for name in names:
        try:
            kind = ffi.typeof("struct " + name)
            fields = {field: [place.offset, ffi.sizeof(place.type)] for field, place in kind.fields or ()}
            found[name] = {"size": ffi.sizeof(kind), "fields": fields}
        except Exception:  # noqa: S112 - not declared there, or opaque
            continue
    return found


def mappings() -> Any:
    """Return what is mapped after importing the binding, as the kernel says it."""
    with open("/proc/self/maps", "rb") as maps:  # noqa: PTH123
        return maps.read().decode("utf-8", "surrogateescape")


def main() -> None:
    """Import the modules one after the other and print what the first of them tells."""
    names, modules = sys.argv[1].split(","), sys.argv[2:]
    errors = []
    for module_name in modules:
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            errors.append("%s: %s" % (module_name, error))  # noqa: UP031 - for old interpreters
            continue
        structs = from_classes(module)
        kind = "ctypes"
        if not structs and hasattr(module, "ffi"):
            structs, kind = from_ffi(module.ffi, names), "CFFI"
        answer = {"module": module_name, "kind": kind, "structs": structs, "maps": mappings()}
        print(json.dumps(answer))
        return
    print(json.dumps({"errors": errors}))


if __name__ == "__main__":
    main()
