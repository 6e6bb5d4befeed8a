"""Write the sizes and offsets of llama.h's structs, as the compiler lays them out, for the ABI check.

    python llama.cpp/layouts.py SOURCE_OF_LLAMA_CPP VERSION GGML_VERSION COMMIT

Run it when the pin changes. An entry of an older engine stays: bindings of it are still around.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "llamactl/process/engine/layouts.json"
_STRUCT = re.compile(r"\bstruct (llama_\w+) \{([^{}]*)\}")
_FIELD = re.compile(r"(?:\(\s*\*\s*(\w+)\s*\)\s*\(.*\)|(\w+)\s*(?:\[[^\]]*\])*)\s*$", re.DOTALL)


def structs(header: str) -> dict[str, list[str]]:
    """Return the names of the fields of each struct that a header defines."""
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", "", header, flags=re.DOTALL)
    return {name: _fields(body) for name, body in _STRUCT.findall(plain)}


def _fields(body: str) -> list[str]:
    names = []
    for declaration in filter(None, map(str.strip, body.split(";"))):
        match = _FIELD.search(declaration)
        assert match is not None, declaration
        names.append(match[1] or match[2])
    return names


def program(found: dict[str, list[str]]) -> str:
    """Return a C program that prints one line per struct and field: offset and size."""
    lines = ["#include <stddef.h>", "#include <stdio.h>", '#include "llama.h"', "int main(void) {"]
    for struct, fields in found.items():
        lines.append(f'    printf("{struct} %zu\\n", sizeof(struct {struct}));')
        for field in fields:
            place = f"offsetof(struct {struct}, {field}), sizeof(((struct {struct} *) 0)->{field})"
            lines.append(f'    printf("{struct} {field} %zu %zu\\n", {place});')
    return "\n".join([*lines, "    return 0;", "}", ""])


def measure(source: Path) -> dict[str, dict[str, object]]:
    """Compile and run the program; return size and fields of each struct."""
    found = structs((source / "include/llama.h").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as directory:
        code, binary = Path(directory) / "layouts.c", Path(directory) / "layouts"
        code.write_text(program(found), encoding="utf-8")
        includes = [f"-I{source / 'include'}", f"-I{source / 'ggml/include'}"]
        subprocess.run(["cc", *includes, str(code), "-o", str(binary)], check=True)
        output = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout
    result: dict[str, dict[str, object]] = {}
    for line in output.splitlines():
        part = line.split()
        if len(part) == 2:
            result[part[0]] = {"size": int(part[1]), "fields": {}}
        else:
            fields = result[part[0]]["fields"]
            assert isinstance(fields, dict)
            fields[part[1]] = [int(part[2]), int(part[3])]
    return result


def main(source: str, version: str, ggml_version: str, commit: str) -> None:
    """Add or replace the entry of one engine in the table."""
    table = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else []
    machine = platform.machine()
    table = [entry for entry in table if (entry["commit"], entry["machine"]) != (commit, machine)]
    table.append(
        {
            "version": version,
            "ggml_version": ggml_version,
            "commit": commit,
            "machine": machine,
            "structs": measure(Path(source)),
        }
    )
    lines = ",\n".join(json.dumps(entry) for entry in table)
    OUTPUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
