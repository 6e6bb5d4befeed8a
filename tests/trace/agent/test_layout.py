"""What Python, the agent and llama.cpp have to agree on."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llamactl.errors import LlamactlError
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.record.agent import layout, library
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Ring

NATIVE = Path(__file__).resolve().parents[3] / "llamactl" / "native"
ROW = re.compile(r'^    \{"(\w+)"', re.MULTILINE)


def test_header_and_parts_agree_with_c(tmp_path: Path) -> None:
    names = layout.HEADER.names
    assert names is not None
    lines = [f'printf("{name} %zu\\n", offsetof(struct ring_header, {name}));' for name in names]
    source = tmp_path / "layout.c"
    source.write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "agent/ring.h"\n'
        f"int main(void) {{ {' '.join(lines)}\n"
        'printf("sizes %zu %zu %zu\\n", sizeof(struct ring_header), sizeof(struct site),'
        " sizeof(struct thread_slot));\n"
        'printf("limits %d %d %d\\n", MAX_THREADS, MAX_DEPTH, MAX_SITES); return 0; }\n'
    )
    program = tmp_path / "layout"
    subprocess.run(["cc", "-std=gnu11", f"-I{NATIVE}", str(source), "-o", str(program)], check=True)
    found = dict(
        line.split(" ", 1)
        for line in subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    )
    fields: Any = layout.HEADER.fields
    assert {name: int(found[name]) for name in names} == {name: fields[name][1] for name in names}
    sizes = (layout.HEADER.itemsize, layout.SITE.itemsize, layout.THREAD.itemsize)
    assert tuple(map(int, found["sizes"].split())) == sizes
    assert tuple(map(int, found["limits"].split())) == (
        layout.MAX_THREADS,
        layout.MAX_DEPTH,
        layout.MAX_SITES,
    )


def test_every_row_names_a_function_of_llama_cpp() -> None:
    names = set(ROW.findall((NATIVE / "calls/table.c").read_text()))
    assert len(names) > 60
    exported = b"".join(
        path.read_bytes() for path in find_agent().parent.glob("lib*.so") if "agent" not in path.name
    )
    assert [name for name in sorted(names) if b"\0" + name.encode() + b"\0" not in exported] == []


def test_offsets_in_structures_are_the_compilers() -> None:
    engine = pytest.importorskip("llamactl.engine._engine")
    table = (NATIVE / "calls/table.c").read_text()
    for struct, field, call in (
        ("struct llama_model_params", "n_gpu_layers", "n_gpu_layers"),
        ("struct llama_model_params", "split_mode", "split_mode"),
        ("struct llama_model_params", "load_mode", "load_mode"),
        ("struct llama_context_params", "n_ctx", "n_ctx"),
        ("struct llama_context_params", "n_batch", "n_batch"),
        ("struct llama_context_params", "n_threads", "n_threads"),
        ("llama_batch", "n_tokens", "n_tokens"),
        ("llama_batch", "token", "tokens"),
    ):
        offsets = {int(value) for value in re.findall(rf'IN_\w+\("{call}", (\d+), ', table)}
        assert offsets == {engine.ffi.offsetof(struct, field)}, field


def test_keeps_are_parsed() -> None:
    assert parse_keeps("") == ((), "")
    assert parse_keeps("-") == ((), "")
    args, text = parse_keeps("path:s n_gpu_layers:i +")
    assert text == "path"
    assert args == ("n_gpu_layers:i", "", "", "faults:2", "switches:2", "cpu_ns:c")
    function = Function("f", "caller", "library", "plt", args, text, "p")
    assert (function.position("cpu_ns"), function.position("n_gpu_layers"), function.position("x")) == (
        5,
        0,
        None,
    )
    assert Function.from_metadata(function.to_metadata()) == function


def test_the_environment_keeps_what_was_there() -> None:
    agent, ring = Path("/a/libllamactl-agent.so"), "1:2:3:4"
    made = agent_environment({"LD_AUDIT": "/other.so", "X": "1"}, agent, ring)
    assert made == {
        "LD_AUDIT": "/other.so:/a/libllamactl-agent.so",
        "LLAMACTL_AGENT_RING": "1:2:3:4",
        "X": "1",
    }
    with pytest.raises(LlamactlError, match="colon"):
        agent_environment({}, Path("/a:b/agent.so"), ring)


def test_a_missing_agent_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "NAME", "nothing.so")
    with pytest.raises(LlamactlError, match=r"nothing\.so isn't installed"):
        find_agent()


def plausible(records: Any, first: int = 0) -> None:
    """Make records that the agent could have written, told apart by their thread."""
    records["kind"], records["pid"] = Kind.CALL, 7
    records["tid"] = np.arange(first + 1, first + 1 + len(records))
    records["start"] = time.monotonic_ns()


def test_a_half_written_record_is_waited_for_and_then_counted() -> None:
    with Ring(16) as ring:
        ring._header["sites_used"] = 1
        plausible(ring._records[:5])
        ring._records["kind"][2] = 0
        ring._header["head"] = 5
        assert ring.drain()["tid"].tolist() == [1, 2]
        assert ring.drain()["tid"].tolist() == []
        assert ring.losses().torn == 0
        assert ring.finish()["tid"].tolist() == [4, 5]
        assert ring.losses().torn == 1


def test_records_wrap_around() -> None:
    with Ring(8) as ring:
        ring._header["sites_used"] = 1
        plausible(ring._records[:6])
        ring._header["head"] = 6
        assert len(ring.drain()) == 6
        plausible(ring._records[6:], 6)
        plausible(ring._records[:2], 8)
        ring._header["head"] = 10
        assert ring.drain()["tid"].tolist() == [7, 8, 9, 10]
        assert not ring._records["kind"].any()
        assert int(ring._header["tail"][0]) == 10


def test_what_never_ended_comes_at_the_end() -> None:
    with Ring(8) as ring:
        ring._header["sites_used"] = 6
        slot, now = ring._threads[3:4], time.monotonic_ns()
        slot["owner"] = 40 << 32 | 41
        slot["depth"], slot["released"], slot["released_at"] = 1, 5 + 1, now + 1
        plausible(slot["frames"][0, :1])
        slot["frames"][0, 0]["start"] = now
        call, released = ring.finish()
        assert (call["kind"], call["flags"], call["start"]) == (Kind.CALL, Flag.NO_EXIT, now)
        assert (released["kind"], released["nr"], released["flags"]) == (Kind.GIL, 0, Flag.NO_EXIT)
        assert (released["pid"], released["tid"], released["start"]) == (40, 41, now + 1)
        assert released["args"][1] == 5
        assert ring.processes() == [40]


def test_strings_move_to_the_capture() -> None:
    with Ring(8) as ring:
        for offset, text in ((0, b"one"), (8, b"two")):
            begin = ring._arena + offset
            ring._map[begin : begin + 7] = layout.LENGTH.pack(3) + text
        records = np.zeros(3, RECORD)
        records["text"], records["text2"] = [1, 9, 0], [9, 9, 1]
        added: list[bytes] = []

        def add(text: bytes) -> int:
            added.append(text)
            return 100 + len(added)

        ring.intern(records, add)
        assert added == [b"one", b"two", b"one", b"two"]
        assert records["text"].tolist() == [101, 102, 0]
        assert records["text2"].tolist() == [104, 104, 103]
