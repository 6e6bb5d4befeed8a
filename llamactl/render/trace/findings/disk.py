"""Sentences on what `trace/mechanisms/findings/disk.py` finds."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text, counted
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.memory.faults import NOT_SEEN


def _model(f: Figures) -> Said:
    names = ", ".join(safe_text(PurePath(name).name) for name in f["model_files"][:2]) or "the model"
    ways = []
    if f["model_major_faults"]:
        ways.append(f"{counted(f['model_major_faults'], 'page fault')} in {names} waited for it")
    elif f["model_major_faults"] is None and f["major_faults_in_calls"]:
        faults = counted(f["major_faults_in_calls"], "page fault")
        ways.append(
            f"{faults} inside llama.cpp waited for it (whose pages isn't recorded; {names} is mapped)"
        )
    if f["model_read_bytes"]:
        ways.append(f"{byte_text(f['model_read_bytes'])} of {names} were read")
    return (
        f"{byte_text(f['read_bytes'])} came from the disk while generating: {', and '.join(ways)}. The model doesn't"
        " stay in memory.",
        "Make room, take a smaller model, or lock it (llama.cpp: --load-mode mmap+mlock, llama-cpp-python:"
        " use_mlock=True).",
    )


def _others(f: Figures) -> Said:
    head = f"{byte_text(f['read_bytes'])} came from the disk while generating"
    named = [*map(_reader, f["readers"]), *map(_page_in, f["page_ins"])]
    if not named:
        return f"{head}; for which file isn't recorded. {_blind(f)}", ""
    if f["model_read_bytes"] == 0 and f["model_major_faults"] == 0:
        return (
            f"{head}, none of it for the model: {'; '.join(named)}. Tokens wait for it where they share the disk.",
            "",
        )
    return f"{head}: {'; '.join(named)}. {_blind(f)}", ""


def _reader(one: Figures) -> str:
    process = f"process {one['pid']}"
    if one["process"] and one["process"] != process:
        process = f"{safe_text(PurePath(one['process']).name)} ({process})"
    return f"{process} read {byte_text(one['read_bytes'])} of {safe_text(one['file'])}"


def _page_in(one: Figures) -> str:
    faults = counted(one["major_faults"], "page fault")
    if one["file"]:
        return f"{faults} in {safe_text(one['file'])} waited for it"
    if one["role"] == NOT_SEEN:
        return f"{faults} {one['role']} waited for it"
    return f"{faults} in {one['role']} memory waited for it: it was swapped out"


def _blind(f: Figures) -> str:
    missing = [
        what
        for what, known in (
            ("whose pages were waited for", f["model_major_faults"]),
            ("what was read", f["model_read_bytes"]),
        )
        if known is None
    ]
    if not missing:
        return "The model's file wasn't read and its pages weren't waited for."
    return f"Whether it was the model isn't known: {', and '.join(missing)}, wasn't recorded."


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.DISK_WHILE_GENERATING: _model,
    FindingKind.OTHER_DISK_READS: _others,
}
