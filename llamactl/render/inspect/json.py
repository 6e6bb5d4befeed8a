"""What ``llamactl inspect`` found, as one JSON document (``schemas/inspect.schema.json``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamactl.process.engine.abi import AbiCheck
from llamactl.render.document import document
from llamactl.render.inspect.version import NAME, VERSION
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import ProcessSnapshot


def process_document(snapshots: Sequence[ProcessSnapshot]) -> dict[str, Any]:
    """Return processes as a document: the one that was asked for, and its descendants."""
    return document(NAME, VERSION, {"kind": "process", "processes": [_process(one) for one in snapshots]})


def _process(snapshot: ProcessSnapshot) -> dict[str, Any]:
    from llamactl.render.document import plain

    # Named tuples, of which there are thousands, become objects and not arrays.
    rows = {
        "files": None if snapshot.files is None else [_file(entry._asdict()) for entry in snapshot.files],
        "mappings": None if snapshot.mappings is None else [entry._asdict() for entry in snapshot.mappings],
    }
    slots = [name for name in ProcessSnapshot.__dataclass_fields__ if name not in rows]
    facts = {name: plain(getattr(snapshot, name)) for name in slots}
    return {**facts, **rows, "findings": plain(find_findings(snapshot))}


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    peers = [{"pid": pid, "fd": fd, "name": name} for pid, fd, name in entry["peers"]]
    return {**entry, "peers": peers}


def abi_document(check: AbiCheck) -> dict[str, Any]:
    """Return the check of a Python environment as a document."""
    return document(NAME, VERSION, {"kind": "abi", "abi": check})
