"""How the loaded library lays out its structs, and which library may be loaded.

Run as a program with another engine's directory in LD_LIBRARY_PATH, it prints that engine's.
"""

from __future__ import annotations

import json

from llamactl.engine.native import ACCEPTED, ffi, lib, text

STRUCTS = ("llama_model_params", "llama_context_params", "llama_batch")
ROOM_BYTES = lib.LLAMACTL_ROOM_BYTES


def compiled_commit() -> str:
    """Return the commit whose headers this llamactl was compiled with."""
    return text(lib.llamactl_engine_commit())


def accepting(commit: str) -> dict[str, str]:
    """Return the environment in which llamactl takes an engine of another commit, which was found to fit."""
    return {ACCEPTED: commit}


def returned_structs() -> dict[str, list[int | None]] | None:
    """Return the bytes of each of :data:`STRUCTS` as the library returns it, ``None`` for those it leaves alone.

    ``None`` for all on a machine whose calling convention isn't known here.
    """
    found: dict[str, list[int | None]] = {}
    for which, name in enumerate(STRUCTS):
        seen = []
        for filling in (b"\x00", b"\xff"):
            room = ffi.new("unsigned char[]", filling * ROOM_BYTES)
            if not lib.llamactl_returned_bytes(which, room):
                return None
            seen.append(bytes(ffi.buffer(room, ROOM_BYTES)))
        found[name] = [one if one == other else None for one, other in zip(*seen, strict=True)]
    return found


if __name__ == "__main__":
    print(json.dumps(returned_structs()))
