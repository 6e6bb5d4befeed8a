"""What a person should look at first: each finding is a measured fact and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from llamactl.process.engine.engine_files import EngineFile
from llamactl.process.files.files import NOT_ANSWERING
from llamactl.process.threads.pools import placement
from llamactl.snapshot.process.memory import ModelMemory
from llamactl.snapshot.process.snapshot import ProcessSnapshot
from llamactl.snapshot.process.standing_text import standing_text, unanswered_text

_MIB = 1 << 20
_NEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, under the same names as in a trace.

    Attributes:
        code: What; for programs.
        text: What was found, a sentence.
        remedy: What to do.
        figures: The measured facts, by name, with units in the names.
        place: (file, line, function) in Python, where one is to blame; a look at a process doesn't tell.
        caller: Where that was called from; likewise.
        cost_ns: How long it has lasted, where that is known.
    """

    code: str
    text: str
    remedy: str
    figures: dict[str, Any] = field(default_factory=dict)
    place: tuple[str, int, str] | None = None
    caller: tuple[str, int, str] | None = None
    cost_ns: int | None = None


def find_findings(snapshot: ProcessSnapshot) -> list[Finding]:
    """Return what stands out in a snapshot; an empty list says only that nothing known does."""
    parts = (_standing, _unanswered, _threads, _models, _engine, _abi, _limits, _files)
    found = [finding for part in parts for finding in part(snapshot)]
    return [replace(finding, text=f"{finding.text}.") for finding in found]


def _standing(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    for one in snapshot.threads.standing if snapshot.threads else ():
        message, remedy = standing_text(snapshot.identity.pid, one)
        yield Finding(
            "stopped" if one.why == "stopped" else "standing",
            message,
            remedy,
            {"process": snapshot.identity.pid, **asdict(one)},
            cost_ns=None if one.seconds is None else round(one.seconds * 1e9),
        )


def _unanswered(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    if snapshot.threads and snapshot.threads.unanswered:
        waiting = snapshot.threads.unanswered
        yield Finding(
            "unanswered-requests",
            *unanswered_text(snapshot.identity.pid, waiting),
            {"process": snapshot.identity.pid, "requests": [asdict(one) for one in waiting]},
            cost_ns=round(waiting[0].seconds * 1e9),
        )


def _threads(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    table = snapshot.threads
    if table is None:
        return
    budget = table.budget
    over = budget is not None and table.compute_threads > budget.threads
    if budget and over:
        placed = placement(table.settings or {}) if budget.limited_by == "affinity" else {}
        named = ", ".join(f"{name}={value}" for name, value in placed.items())
        remedy = f"Start it with -t {budget.threads} (n_threads={budget.threads}); more wait for each other."
        yield Finding(
            "threads-over-budget",
            f"{table.compute_threads} threads compute where {budget} can run at once"
            + (f": {named} pins them" if placed else ""),
            f"Unset {', '.join(placed)}, or let it name as many CPUs as threads. Or: {_lower(remedy)}"
            if placed
            else remedy,
            {
                "threads": table.compute_threads,
                "budget_threads": budget.threads,
                "limited_by": budget.limited_by,
                "settings": placed,
            },
        )
    spinning = [thread for thread in table.threads if thread.spinning]
    if (
        spinning and not over
    ):  # More threads than CPUs spin for each other; another way of waiting doesn't help.
        roles = sorted({thread.role for thread in spinning})
        yield Finding(
            "idle-spinning",
            f"{len(spinning)} {' and '.join(roles)} threads use a CPU each while all other threads sleep",
            "OMP_WAIT_POLICY=passive lets an idle pool sleep.",
            {"threads": len(spinning), "roles": roles},
        )


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _models(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    for model in snapshot.memory.models if snapshot.memory else ():
        yield from _model(model)


def _model(model: ModelMemory) -> Iterator[Finding]:
    if model.cached_bytes is not None and model.size_bytes and model.mapped_bytes:
        missing = model.size_bytes - model.cached_bytes
        if missing > model.size_bytes // 10:
            yield Finding(
                "model-not-in-memory",
                f"{missing // _MIB} of {model.size_bytes // _MIB} MiB of {model.path} aren't in memory",
                "They are read from disk when used; more free memory or --load-mode mlock keeps them.",
                {"model": model.path, "missing_bytes": missing, "size_bytes": model.size_bytes},
            )
    if model.deleted:
        yield Finding(
            "model-deleted",
            f"{model.path} was deleted while it is mapped",
            "Its space comes back when the process ends; a restart won't find it.",
            {"model": model.path},
        )
    if model.private_copy_bytes and model.mapped_bytes:
        yield Finding(
            "weights-twice",
            f"{model.path} is mapped and has a private copy of {model.private_copy_bytes // _MIB} MiB",
            "Repacked weights are a copy; the mapped pages can be dropped by the kernel.",
            {"model": model.path, "private_copy_bytes": model.private_copy_bytes},
        )


def _engine(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    kinds: dict[str, list[EngineFile]] = {}
    for file in snapshot.engine or ():
        kind = {"llama.cpp": "libllama"}.get(file.holds, file.holds) if file.kind == "static" else file.kind
        kinds.setdefault(kind, []).append(file)
    for kind, files in kinds.items():
        if len(files) > 1 and not _are_builds_of_one(files):
            yield Finding(
                "engine-twice",
                f"{len(files)} copies of {kind} are loaded: {', '.join(file.path for file in files)}",
                "Each has state of its own and their symbols can mix; keep one.",
                {"kind": kind, "libraries": [file.path for file in files]},
            )


def _are_builds_of_one(files: list[EngineFile]) -> bool:
    """Tell one package's builds for several processors, side by side in a folder: it chooses among them itself."""
    folders = {file.path.rpartition("/")[0] for file in files}
    return len(folders) == 1 and all(file.kind == "static" for file in files)


def _abi(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    found = snapshot.abi
    if found is None or found.status != "mismatch":
        return
    # What belongs to the binding can't be had in a version that belongs to it more.
    remedy = (
        f"This version of {snapshot.binding.name if snapshot.binding else found.module} brought that engine"
        " along: take another version, and report it there."
        if found.own_engine
        else "Use the version of the binding that belongs to this engine."
    )
    for check in found.structs:
        if check.differences and not check.only_for:
            yield Finding(
                "abi-mismatch",
                f"{found.module} has another {check.name} than the engine: {check.differences[0]}",
                remedy,
                {"module": found.module, "struct": check.name, "differences": list(check.differences)},
            )


def _limits(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    limits = snapshot.limits
    if limits is None:
        return
    cpu, memory = limits.cpu, limits.memory
    if cpu and cpu.throttled_periods and cpu.periods:
        yield Finding(
            "throttled",
            f"the CPU quota stopped the group in {cpu.throttled_periods} of {cpu.periods} periods, "
            f"{(cpu.throttled_ns or 0) / 1e9:.1f} s in all",
            "Use no more threads than the quota has CPUs, or raise the quota.",
            {
                "nr_throttled": cpu.throttled_periods,
                "nr_periods": cpu.periods,
                "throttled_ns": cpu.throttled_ns,
            },
        )
    if memory and memory.oom_kills:
        yield Finding(
            "oom-kills",
            f"{memory.oom_kills} processes of the group were killed for memory",
            "Raise its limit.",
            {"oom_kills": memory.oom_kills},
        )
    pids = limits.pids
    if pids and pids.limit is not None and pids.refused:
        yield Finding(
            "pids-limit",
            f"the control group {pids.path} allows {pids.limit} processes and threads and has refused "
            f"{pids.refused} so far",
            "Raise it (docker --pids-limit, Kubernetes podPidsLimit, systemd TasksMax=), or use fewer threads.",
            {"limit": pids.path, "allowed": pids.limit, "count": pids.refused},
        )
    left, limit = (memory.headroom_bytes, memory.limit_bytes) if memory else (None, None)
    if left is not None and limit and left < limit * (1 - _NEARLY):
        yield Finding(
            "memory-nearly-full",
            f"{left // _MIB} MiB are left below the group's limit",
            _when_full(snapshot),
            {"left_bytes": left, "limit_bytes": limit},
        )


def _when_full(snapshot: ProcessSnapshot) -> str:
    models = snapshot.memory.models if snapshot.memory is not None else ()
    held = [
        model.file_system.kind
        for model in models
        if model.file_system is not None and model.file_system.in_memory
    ]
    if held:
        return (
            f"The model lies on {held[0]}, which is memory: nothing of it can be dropped. Put it on a disk, or raise"
            " the limit."
        )
    return "The model's pages in the page cache are dropped first; then the process is killed."


def _files(snapshot: ProcessSnapshot) -> Iterator[Finding]:
    if snapshot.files is None:
        return
    silent = [entry for entry in snapshot.files if entry.detail == NOT_ANSWERING]
    if silent:
        yield Finding(
            "not-answering",
            f"{len(silent)} descriptor{'s are' if len(silent) > 1 else ' is'} on a file system that doesn't answer: "
            + ", ".join(f"{entry.fd} ({entry.target})" for entry in silent[:3]),
            "Whoever uses them hangs: bring its server back, or give the mount up (umount -l).",
            {"descriptors": [entry.fd for entry in silent]},
        )
    places = {entry.inode: entry for entry in snapshot.files if entry.deleted and entry.kind == "file"}
    held = sum(entry.disk_bytes or 0 for entry in places.values())
    if held >= _MIB:
        yield Finding(
            "deleted-open",
            f"{len(places)} deleted files are still open and hold {held // _MIB} MiB",
            "They go when it ends.",
            {"files": len(places), "held_bytes": held},
        )
    limit = (
        next((one.soft for one in snapshot.limits.resources if one.name == "nofile"), None)
        if snapshot.limits
        else None
    )
    if limit and len(snapshot.files) > limit * _NEARLY:
        yield Finding(
            "files-nearly-full",
            f"{len(snapshot.files)} of {limit} descriptors are open",
            "Raise ulimit -n.",
            {"descriptors": len(snapshot.files), "allowed": limit},
        )
