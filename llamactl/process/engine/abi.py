"""Compare a binding's structs with the engine's: sizes and offsets, field by field.

A ctypes or CFFI-ABI binding repeats llama.h by hand. When the library moves on and the binding doesn't,
parameters land in the wrong fields without any error. The binding is asked in a child of its own
interpreter (``abi_probe.py``); the engine's side is a table made by the compiler (``layouts.json``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamactl.process.elf import read_elf
from llamactl.process.engine.engine_files import EngineFile
from llamactl.process.engine.libraries import engine_library
from llamactl.process.proc_text import maps_lines

TIMEOUT_S = 60
MODULES = ("llama_cpp.llama_cpp",)
# Structs that no generation passes, by a part of their names in llama.h.
_ONLY_FOR = (("_opt_", "training"), ("_quantize_", "quantizing"))
_HERE = Path(__file__).resolve().parent
# The child must find the same packages and the same library as the process.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "HOME", "LLAMA_CPP_LIB_PATH")

Layout = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StructCheck:
    """One struct: sizes in bytes on both sides, and each difference as a sentence.

    ``only_for`` says what alone uses it (``training``, ``quantizing``); empty for generating text.
    """

    name: str
    binding_bytes: int
    engine_bytes: int
    differences: tuple[str, ...]
    only_for: str = ""


@dataclass(frozen=True, slots=True)
class AbiCheck:
    """The result.

    ``status`` is ``match``, ``mismatch`` (in a struct that generating text uses) or ``unknown``; ``reason``
    says why it is unknown. ``own_engine`` tells whether the engine was installed by the binding itself.
    """

    status: str
    reason: str
    interpreter: str
    module: str | None
    kind: str | None
    library: str | None
    engine_version: str | None
    structs: tuple[StructCheck, ...]
    own_engine: bool | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine on the other side: its libllama, and what its and libggml's functions return, or empty."""

    library: str | None
    version: str
    ggml_version: str
    commit: str

    @property
    def shown(self) -> str:
        """Version and commit, as far as they are known."""
        known = f"({self.commit})" if self.commit and self.commit != "unknown" else ""
        return " ".join(filter(None, (self.version, known)))


def check_abi(
    interpreter: str,
    environment: Mapping[str, str] | None = None,
    modules: Sequence[str] = MODULES,
    engine: Engine | None = None,
) -> AbiCheck:
    """Ask a binding for its structs and compare them with those of the engine.

    Args:
        interpreter: The Python whose environment has the binding.
        environment: Of the process that is looked at; None for ours.
        modules: Modules to try, the first that can be imported is asked.
        engine: What the process has mapped; None for the library that the binding loads when it is asked.
    """
    # Imported here, as where it is used: it costs more than all the rest of most inspections.
    import subprocess

    try:
        answer = _ask(interpreter, dict(os.environ if environment is None else environment), modules)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _unknown(interpreter, f"{interpreter} can't be asked: {error}")
    if "errors" in answer:
        return _unknown(interpreter, "; ".join(answer["errors"]))
    return _compare(interpreter, answer, engine or _engine(_mapped(answer["maps"])))


def not_asked(interpreter: str, reason: str, engine: Engine | None = None) -> AbiCheck:
    """Return the result of a check that wasn't made."""
    return _unknown(interpreter, f"not asked: {reason}", engine)


def _unknown(interpreter: str, reason: str, engine: Engine | None = None) -> AbiCheck:
    library, version = (engine.library, engine.shown or None) if engine else (None, None)
    return AbiCheck("unknown", reason, interpreter, None, None, library, version, ())


def engine_of_process(files: Sequence[EngineFile]) -> Engine | None:
    """Return the engine among a process's files; None where it has several or none, so none is meant."""
    llama = [file for file in files if file.holds == "llama.cpp" and file.kind in ("libllama", "static")]
    if len(llama) != 1:
        return None
    base = [file for file in files if file.kind == "libggml-base"]
    commit = next((file.commit for file in (*llama, *base) if file.commit), "")
    ggml = base[0].version if len(base) == 1 else None
    return Engine(llama[0].path, llama[0].version or "", ggml or "", commit)


def _ask(interpreter: str, environment: dict[str, str], modules: Sequence[str]) -> dict[str, Any]:
    import subprocess

    # A script's directory comes first on the path of its imports; a text has none but the current one.
    source = "import sys; sys.path[:1] = []\n" + (_HERE / "abi_probe.py").read_text(encoding="utf-8")
    names = sorted({name for entry in _table() for name in entry["structs"]})
    result = subprocess.run(
        [interpreter, "-c", source, ",".join(names), *modules],
        env={name: environment[name] for name in _KEPT if name in environment},
        cwd="/", capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = result.stdout.splitlines()
    if result.returncode or not lines:
        last = (result.stderr.strip().splitlines() or ["no answer"])[-1]
        raise ValueError(f"status {result.returncode}, {last}")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def _table() -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = json.loads((_HERE / "layouts.json").read_text(encoding="utf-8"))
    return table


def _compare(interpreter: str, answer: Mapping[str, Any], engine: Engine) -> AbiCheck:
    module, kind = str(answer["module"]), str(answer["kind"])
    entry = find_layouts(engine.version, engine.ggml_version, engine.commit)
    library, shown = engine.library, engine.shown
    if entry is None or not answer["structs"]:
        reason = (
            f"the layout of engine {shown or 'of unknown version'} isn't in llamactl's table"
            if answer["structs"]
            else f"{module} has no structs that can be asked"
        )
        return AbiCheck("unknown", reason, interpreter, module, kind, library, shown or None, ())
    checks = compare_layouts(answer["structs"], entry["structs"])
    status = "mismatch" if any(c.differences and not c.only_for for c in checks) else "match"
    return AbiCheck(status, "", interpreter, module, kind, library, shown, checks)


def _mapped(maps: str) -> list[str]:
    """Return the engine's own libraries in the text of a ``maps`` file."""
    paths = {os.fsdecode(line.path) for line in maps_lines(os.fsencode(maps))}
    return sorted(path for path in paths if engine_library(path.rpartition("/")[2]))


def _engine(paths: Sequence[str]) -> Engine:
    """Return the libllama that was loaded, and what its and libggml-base's functions return."""
    library, version, ggml, commit = None, "", "", ""
    for path in paths:
        try:
            elf = read_elf(Path(path))
        except OSError:
            continue
        if elf is None:
            continue
        if elf.symbol("llama_decode") is not None:
            library, version = path, elf.returned_string("llama_version") or ""
        ggml = elf.returned_string("ggml_version") or ggml
        commit = elf.returned_string("ggml_commit") or commit
    return Engine(library, version, ggml, commit)


def find_layouts(version: str, ggml_version: str, commit: str) -> dict[str, Any] | None:
    """Return the table's entry for an engine: by its commit; without one, by both version numbers."""
    short = commit.removesuffix("-dirty")
    for entry in _table():
        if entry["machine"] != os.uname().machine:
            continue
        if short and short != "unknown":
            if len(short) >= 7 and (entry["commit"].startswith(short) or short.startswith(entry["commit"])):
                return entry
        elif version and (entry["version"], entry["ggml_version"]) == (version, ggml_version):
            return entry
    return None


def compare_layouts(binding: Mapping[str, Layout], engine: Mapping[str, Layout]) -> tuple[StructCheck, ...]:
    """Return a check of every struct that both sides have."""
    return tuple(
        StructCheck(name, ours["size"], theirs["size"], tuple(_differences(ours, theirs)), _only_for(name))
        for name in sorted(binding.keys() & engine.keys())
        for ours, theirs in [(binding[name], engine[name])]
    )


def _only_for(name: str) -> str:
    return next((purpose for part, purpose in _ONLY_FOR if part in name), "")


def _differences(binding: Layout, engine: Layout) -> list[str]:
    found = []
    if binding["size"] != engine["size"]:
        found.append(f"size: {binding['size']} bytes in the binding, {engine['size']} in the engine")
    right, asked = engine["fields"], binding["fields"]
    for name in [*right, *(name for name in asked if name not in right)]:
        if name not in asked:
            found.append(f"{name}: missing in the binding")
        elif name not in right:
            found.append(f"{name}: not in the engine")
        elif list(right[name]) != list(asked[name]):
            places = [f"offset {offset}, {size} bytes" for offset, size in (asked[name], right[name])]
            found.append(f"{name}: {places[0]} in the binding; {places[1]} in the engine")
    return found
