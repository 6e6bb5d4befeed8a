"""How many tokens a call computes, from the calls that filled its batch; and the vocabulary's size from the file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.interface.batches import UNKNOWN, batches
from llamactl.trace.mechanisms.interface.crossings import per_token, tokens, vocabulary_size
from llamactl.trace.mechanisms.interface.exchange import Exchange

KEEPS = {
    "llama_decode": "context:p n_tokens:i tokens:p +",
    "llama_process": "context:p type:i batch:p +",
    "llama_batch_ext_add_token": "batch:p sequence:i -",
    "llama_batch_ext_clear": "batch:p -",
    "llama_model_load_from_file": "path:s n_gpu_layers:i split_mode:i load_mode:i +",
    "llama_get_logits_ith": "context:p index:i -",
}
NAMES = list(KEEPS)
Step = tuple[str, tuple[int, ...], int]


def exchange(steps: list[Step], text: bytes = b"") -> Exchange:
    """Calls of one thread, a millisecond each: (function, arguments, result)."""
    records = np.zeros(len(steps), RECORD)
    records["kind"], records["pid"], records["tid"] = Kind.CALL, 7, 7
    for number, (record, (name, args, result)) in enumerate(zip(records, steps, strict=True)):
        record["nr"], record["ret"], record["start"], record["duration"] = (
            NAMES.index(name), result, number * 1_000_000, 900_000,
        )  # fmt: skip
        record["args"][: len(args)] = args
        record["text"] = name == "llama_model_load_from_file"
    functions = [Function(name, "/b.so", "/l.so", "inner", *parse_keeps(KEEPS[name]), "i") for name in NAMES]
    return Exchange.of([records], functions, lambda reference: text if reference else b"")


def add(batch: int, sequence: int, position: int) -> Step:
    return "llama_batch_ext_add_token", (batch, sequence), position


def process(batch: int) -> Step:
    return "llama_process", (1, 1, batch), 0


def test_a_batch_is_counted_as_it_is_filled() -> None:
    steps = [
        process(8),  # filled before anybody looked
        *(add(8, 0, position) for position in range(5)),
        ("llama_batch_ext_add_token", (8, 0), -1),  # full
        add(9, 3, 0),
        process(8),  # a prompt of five
        ("llama_batch_ext_clear", (8,), 0),
        *(add(8, sequence, sequence) for sequence in range(3)),
        process(8),  # one token of each of three requests
        process(9),
        ("llama_decode", (1, 6, 0), 0),
    ]
    found = exchange(steps)
    calls = found.calls[found.named("llama_process", "llama_decode")]
    counted = batches(found, calls)
    assert counted.tokens.tolist() == [UNKNOWN, 5, 3, 1, 6]
    assert counted.generating.tolist() == [True, False, True, True, False]


def test_prompts_of_a_server_are_no_tokens() -> None:
    clear: Step = ("llama_batch_ext_clear", (8,), 0)
    prompt = [clear, *(add(8, 0, position) for position in range(5)), process(8)]
    step = [clear, add(8, 0, 0), add(8, 1, 1), process(8)]
    rows = tokens(exchange([*prompt, *step * 4]))
    assert rows.batch.tolist() == [2, 2, 2]
    averages = per_token(rows)
    assert (averages.tokens, averages.batch_tokens) == (3, 2.0)
    assert averages.bytes == 2 * 4


def test_the_vocabulary_is_read_from_the_models_file(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(model, "llama")
    writer.add_token_list([f"t{number}" for number in range(321)])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    steps: list[Step] = [("llama_model_load_from_file", (0,), 99)]
    for _ in range(4):
        steps += [("llama_decode", (1, 1, 0), 0), ("llama_get_logits_ith", (1, 0), 4096)]
    found = exchange(steps, bytes(model))
    assert vocabulary_size(found) == 321
    assert per_token(tokens(found)).bytes == 321 * 4 + 4
    gone = exchange(steps, b"/nowhere/model.gguf")
    assert vocabulary_size(gone) is None
    assert per_token(tokens(gone)).bytes is None
