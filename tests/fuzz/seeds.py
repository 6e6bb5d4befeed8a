"""What mutations start from: one sound input or more for each target."""

from __future__ import annotations

import json
from pathlib import Path

from target_calls import call_seeds
from target_ring import ring_seeds

from llamactl.trace.record.agent.library import find_agent

CAPTURES = Path(__file__).resolve().parent.parent / "captures"


def _gguf() -> list[bytes]:
    import struct

    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    entries = [
        text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"),
        text(b"general.alignment") + struct.pack("<II", 4, 32),
        text(b"llama.block_count") + struct.pack("<II", 4, 2),
        text(b"llama.context_length") + struct.pack("<II", 4, 512),
        text(b"llama.embedding_length") + struct.pack("<II", 4, 32),
        text(b"llama.attention.head_count") + struct.pack("<II", 4, 4),
        text(b"llama.attention.head_count_kv") + struct.pack("<IIQ2I", 9, 4, 2, 1, 2),
        text(b"tokenizer.ggml.model") + struct.pack("<I", 8) + text(b"gpt2"),
        text(b"tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, 3)
        + text(b"a")
        + text(b"b")
        + text(b"\xff"),
        text(b"tokenizer.ggml.bos_token_id") + struct.pack("<II", 4, 1),
        text(b"tokenizer.chat_template") + struct.pack("<I", 8) + text(b"{{ messages }}"),
        text(b"test.float") + struct.pack("<If", 6, float("nan")),
    ]
    tensors = [
        text(b"token_embd.weight") + struct.pack("<IQQIQ", 2, 32, 4, 0, 0),
        text(b"blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 32, 1, 8, 512),
    ]
    head = (
        struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(tensors)
    )
    return [head + bytes(-len(head) % 32) + bytes(512 + 34)]


def _proc() -> list[bytes]:
    found = []
    for name in ("stat", "status", "maps", "comm", "io", "limits"):
        try:
            found.append(Path("/proc/self", name).read_bytes())
        except OSError:
            continue
    return found


def _stored() -> list[bytes]:
    return [json.dumps({
        "schema": "llamactl.bench", "schema_version": 1, "complete": True, "planned": ["pp64"], "warnings": [],
        "environment": {"llamactl_version": "0", "build_commit": "x", "cpu_info": "c"}, "models": [], "results": [],
    }).encode()]  # fmt: skip


def seeds() -> dict[str, list[bytes]]:
    """Return the inputs that each target begins with."""
    expressions = [b"trace=%file,openat,/^mem(a|b){1,2}/,!futex,?nosuch", b"!read,write", b"all"]
    return {
        "gguf": _gguf(),
        "elf": [find_agent().read_bytes()],
        "proc": _proc(),
        "smaps": [Path("/proc/self/smaps").read_bytes()[:20_000]],
        "capture": [path.read_bytes() for path in sorted(CAPTURES.glob("*.capture"))],
        "ring": ring_seeds(),
        "ring-c": [bytes(80) + bytes(range(200)) * 3, bytes(80) + bytes(range(255, 0, -1)) * 4],
        "call": call_seeds(),
        "expressions": expressions,
        "conditions": [b"tg128 < 0.97", b"tg128.minor_faults > 1.10", b"crossings > 1"],
        "stored": _stored(),
        "history": _stored(),
        "text": ["a\x1b[31m\u202eb\udcff\n".encode("utf-8", "surrogatepass"), "Größe \u061c".encode()],
    }
