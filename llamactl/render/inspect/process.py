"""A process as text of 80 columns: findings first, then a block per section."""

from __future__ import annotations

import time
from collections.abc import Collection

from llamactl.process.identity import Identity
from llamactl.render.columns import shorten, wrapped
from llamactl.render.inspect.engine import abi_lines, engine_lines, gpu_lines, python_lines
from llamactl.render.inspect.files import file_lines
from llamactl.render.inspect.limits import limit_lines
from llamactl.render.inspect.memory import mapping_lines, memory_lines
from llamactl.render.inspect.threads import thread_lines
from llamactl.render.safe import safe_text
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import ProcessSnapshot


def process_text(snapshot: ProcessSnapshot, full: Collection[str] = ()) -> str:
    """Return a process as text.

    Args:
        snapshot: The process.
        full: Sections of which every entry is shown, ``files`` and ``mappings``; else they are summed up.
    """
    blocks = [_identity(snapshot.identity), _findings(snapshot)]
    blocks += [
        memory_lines(snapshot.memory),
        mapping_lines(snapshot.mappings) if "mappings" in full else [],
        thread_lines(snapshot.threads),
        engine_lines(snapshot.binding, snapshot.engine),
        abi_lines(snapshot.abi),
        python_lines(snapshot.python),
        gpu_lines(snapshot.gpu),
        file_lines(snapshot.files, full="files" in full),
        limit_lines(
            snapshot.limits,
            snapshot.memory.models if snapshot.memory else (),
            len(snapshot.files) if snapshot.files is not None else None,
        ),
        _notes(snapshot),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def watch_text(snapshot: ProcessSnapshot, most_threads: int) -> str:
    """Return what changes from second to second, at most ``most_threads`` threads of it."""
    blocks = [
        _identity(snapshot.identity),
        _findings(snapshot),
        memory_lines(snapshot.memory, brief=True),
        thread_lines(snapshot.threads, most_threads, brief=True),
        _notes(snapshot),
    ]
    return "\n".join("\n".join(block) for block in blocks if block) + "\n"


def _identity(identity: Identity) -> list[str]:
    # The newline in a command's argument would end the line; safe_text shows it.
    command = " ".join(map(safe_text, identity.command)) or f"[{safe_text(identity.name)}]"
    title = f"process {identity.pid}: "
    parts = [identity.state, f"user {safe_text(identity.user)}", f"parent {identity.parent}"]
    if identity.started_s is not None:
        parts.append("since " + time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(identity.started_s)))
    if len(identity.namespace_pids) > 1:
        parts.append(f"number {identity.namespace_pids[-1]} in its container")
    if identity.traced_by:
        parts.append(f"traced by {identity.traced_by}")
    return [title + shorten(command, 80 - len(title)), *wrapped(", ".join(parts), rest="  ")]


def _findings(snapshot: ProcessSnapshot) -> list[str]:
    found = find_findings(snapshot)
    lines = [f"{len(found)} finding{'s' if len(found) > 1 else ''}"] if found else []
    for finding in found:
        lines += wrapped(f"{finding.text} {finding.remedy}", first="  ! ")
    return lines


def _notes(snapshot: ProcessSnapshot) -> list[str]:
    if not snapshot.notes:
        return []
    lines = ["Not read"]
    for note in snapshot.notes:
        # What a section as a whole was refused is named like the section.
        named = note.message.startswith(f"{note.section}:")
        lines += wrapped(note.message if named else f"{note.section}: {note.message}")
    return lines
