"""Open files of a process as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llamactl.process.files.files import NOT_ANSWERING, OpenFile
from llamactl.render.columns import WIDTH, columns, wrapped
from llamactl.render.units import size

# Roles that are worth a line also when not everything is listed.
_SHOWN = frozenset({"model weights", "temporary file", "GPU device", "RPC connection", "log", "server"})
_MOST = 20


def file_lines(files: Sequence[OpenFile] | None, *, full: bool) -> list[str]:
    """Return the open files: all of them, or counts and those that matter."""
    if files is None:
        return []
    counts = Counter(entry.kind for entry in files)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    lines = wrapped(
        f"Files: {len(files)} open ({kinds})" if files else "Files: none open", first="", rest="  "
    )
    lines += _space("temporary", [entry for entry in files if entry.role == "temporary file"])
    lines += _space("deleted", [entry for entry in files if entry.deleted])
    shown = list(files) if full else [entry for entry in files if _matters(entry)]
    if not shown:
        return lines
    cut = shown if full else shown[:_MOST]
    header = ("fd", "mode", "type", "offset", "size", "role", "target")
    lines += columns(header, [_row(entry) for entry in cut], right="rllrrll", width=0 if full else WIDTH)
    if len(cut) < len(shown):
        lines.append(f"  … and {len(shown) - len(cut)} more; --only files shows all")
    return lines


def _matters(entry: OpenFile) -> bool:
    return entry.role in _SHOWN or entry.deleted or entry.detail == NOT_ANSWERING


def _space(what: str, entries: Sequence[OpenFile]) -> list[str]:
    """Return how much space files take; a file that is open several times counts once."""
    if not entries:
        return []
    places = {(entry.device, entry.inode): entry.disk_bytes or 0 for entry in entries}
    return wrapped(f"{len(places)} {what}, {size(sum(places.values()))} on disk or in memory")


def _row(entry: OpenFile) -> tuple[str, ...]:
    offset = "" if entry.offset is None else f"{entry.offset:,}"
    length = "" if entry.size_bytes is None else size(entry.size_bytes)
    return str(entry.fd), entry.mode, entry.kind, offset, length, entry.role, _target(entry)


def _target(entry: OpenFile) -> str:
    parts = [entry.target if entry.kind != "socket" or not entry.detail else entry.detail]
    parts += ["(deleted)"] if entry.deleted else []
    parts += [entry.detail] if entry.detail and entry.kind != "socket" else []
    if entry.peers:
        pid, fd, name = entry.peers[0]
        more = f" and {len(entry.peers) - 1} more" if len(entry.peers) > 1 else ""
        parts.append(f"↔ {name} {pid} fd {fd}{more}")
    return " ".join(parts)
