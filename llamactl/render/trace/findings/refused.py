"""Sentences on what `trace/mechanisms/findings/refused.py` finds."""

from __future__ import annotations

import errno
import os
from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text, count_text, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.syscalls.refusals import By


def _refused(f: Figures) -> Said:
    times = "once" if f["count"] == 1 else f"{count_text(f['count'])} times"
    target = f" of {safe_text(f['object'])}" if f["object"] else ""
    error = errno.errorcode.get(f["error"], str(f["error"]))
    each = " (each time it was tried)" if f["count"] == f["tries"] and f["count"] > 1 else ""
    cause, remedy = _cause(f)
    return f"{f['name']}{target} was refused {times}{each}, {error}: {cause}.", remedy


def _cause(f: Figures) -> tuple[str, str]:
    place, allowed = safe_text(f["limit"]), f["allowed"]
    most = "" if allowed is None else f" ({count_text(allowed)})"
    return {
        By.NOEXEC: (
            f"the file system at {place} is mounted noexec",
            f"Put it elsewhere, or: mount -o remount,exec {place}",
        ),
        By.READ_ONLY: (f"the file system at {place} is read-only", "Write elsewhere."),
        By.PIDS_GROUP: (
            f"the control group {place} allows {allowed} processes and threads",
            "Raise it (docker --pids-limit, Kubernetes podPidsLimit, systemd TasksMax=), or use fewer threads.",
        ),
        By.PROCESSES: (f"the user's limit of processes and threads{most} is reached", "Raise it: ulimit -u."),
        By.FILES: (f"all descriptors of the process{most} are open", "Raise the limit: ulimit -n."),
        By.SYSTEM_FILES: ("the machine has no more open files to give", "See sysctl fs.file-max."),
        By.ADDRESS_SPACE: (
            f"the limit of address space ({byte_text(allowed)}) is reached",
            "Raise it: ulimit -v.",
        ),
        By.MEMORY: (
            "the kernel has no memory for it",
            "See sysctl vm.overcommit_memory and vm.max_map_count, and the group's limit.",
        ),
        By.SPACE: (f"no space is left{' at ' + place if place else ''}", "Make room, or write elsewhere."),
        By.IN_USE: ("somebody has the address already", "See who: ss -lptn"),
        By.SECCOMP: (
            "a seccomp filter is in force, and no other limit was found",
            "Start the container with a profile that allows it (--security-opt seccomp=PROFILE.json).",
        ),
        By.RIGHTS: (
            f"the user has no right to it ({os.strerror(f['error']).lower()})",
            "See the file's mode and owner.",
        ),
        By.UNKNOWN: ("by which limit isn't known", "It may be a security module: see dmesg."),
    }[By(f["by"])]


def _unanswered(f: Figures) -> Said:
    times = "A connection" if f["count"] == 1 else f"{count_text(f['count'])} connections"
    when = " before the model was loaded" if f["before_load"] else ""
    got = "got no answer"
    return (
        f"{times} to {safe_text(f['address'])} {got}: {time_text(f['waited_ns'])} were spent waiting{when}.",
        "Without a network, keep the program from asking (HF_HUB_OFFLINE=1 for Hugging Face), or give it a shorter time"
        " limit.",
    )


def _not_found(f: Figures) -> Said:
    places = f["places"]
    listed = ", ".join(safe_text(place) for place in places[:3])
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return (
        f"{safe_text(f['name'])} was looked for and not found: {listed}{more}.",
        "Is its path right, and it installed?",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.REFUSED: _refused,
    FindingKind.UNANSWERED: _unanswered,
    FindingKind.NOT_FOUND: _not_found,
}
