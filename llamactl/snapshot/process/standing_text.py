"""What stands, as a sentence, and what to do about it; for ``inspect`` and for ``trace``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llamactl.snapshot.process.standing_facts import End, Standing
from llamactl.snapshot.process.unanswered import UnansweredRequest

_MOST_ENDS = 3


def standing_text(process: int, standing: Standing) -> tuple[str, str]:
    """Return a sentence without its full stop, and a remedy.

    Args:
        process: Number of the process whose threads stand.
        standing: What stands.
    """
    if standing.why == "stopped":
        return f"the process has been stopped{_since(standing)}", f"Let it go on: kill -CONT {process}"
    who, stands = _who(process, standing), _since(standing)
    where = f" in {standing.call}" + (f" of {standing.object}" if standing.object else "")
    cause, remedy = _CAUSES[standing.why](process, standing)
    return f"{who}{stands}{where}: {cause}", remedy


def _who(process: int, standing: Standing) -> str:
    if len(standing.threads) > 1:
        listed = ", ".join(map(str, standing.threads[:_MOST_ENDS]))
        more = ", …" if len(standing.threads) > _MOST_ENDS else ""
        return f"{len(standing.threads)} threads ({listed}{more}) have stood"
    number = standing.threads[0]
    return f"thread {number}{' (main)' if number == process else f' ({standing.name})'} has stood"


def _since(standing: Standing) -> str:
    if standing.seconds is None:
        return " for an unknown time"
    return f" for {'at least ' if standing.at_least else ''}{_seconds(standing.seconds)}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def end_text(process: int, end: End) -> str:
    """Return somebody at the other end, as seen from a process."""
    name = f" ({end.name})" if end.name else ""
    if end.pid == process:
        who = f"its own thread {end.thread}{name}" if end.thread else "the process itself"
    else:
        who = f"process {end.pid}{name}"
    who += f" on its descriptor {end.fd}" if end.fd is not None else ""
    if end.doing in ("running", "stopped"):
        return f"{who}, which is {end.doing}"
    return f"{who}, which is in {end.doing}" if end.doing else who


def _ends(process: int, standing: Standing) -> str:
    listed = [end_text(process, end) for end in standing.ends[:_MOST_ENDS]]
    more = len(standing.ends) - _MOST_ENDS
    return "; ".join(listed) + (f"; and {more} more" if more > 0 else "")


def _look(process: int, standing: Standing) -> str:
    """Return the advice to look at who is at the other end."""
    other = next((end.pid for end in standing.ends if end.pid != process), None)
    return f"See what it waits for: llamactl inspect {other}" if other else ""


def _lock(process: int, standing: Standing) -> tuple[str, str]:
    if not standing.ends:
        return (
            "who holds the lock can't be seen from here",
            "It may be a process of another container or machine.",
        )
    return f"the lock is held by {_ends(process, standing)}", _look(process, standing)


def _full(process: int, standing: Standing) -> tuple[str, str]:
    remedy = "Read there what it writes, or start it with its output in a file."
    if not standing.ends:
        return "what it writes isn't taken, and who should can't be seen from here", remedy
    return f"what it writes isn't taken; it is to be read by {_ends(process, standing)}", remedy


def _no_writer(_process: int, standing: Standing) -> tuple[str, str]:
    fds = ", ".join(str(end.fd) for end in standing.ends)
    return (
        f"nothing can come: only the process itself has the writing end open (descriptor {fds})",
        "Close that descriptor after starting the child that writes.",
    )


def _no_answer(process: int, standing: Standing) -> tuple[str, str]:
    if not standing.ends:
        return (
            "the other end, on another machine or not to be seen from here, sends nothing",
            "Give it a time limit.",
        )
    return f"it waits for an answer of {_ends(process, standing)}", _look(process, standing)


def _connecting(process: int, standing: Standing) -> tuple[str, str]:
    if not standing.ends:
        return "nothing there answers", "Is the address right, and the network there? A time limit helps."
    return f"it is not accepted by {_ends(process, standing)}", _look(process, standing)


def _file(_process: int, _standing: Standing) -> tuple[str, str]:
    return (
        "its file system doesn't answer",
        "Is a network mount dead, or a disk? Who gives it up (umount -l) lets its users go on.",
    )


def _fifo(_process: int, _standing: Standing) -> tuple[str, str]:
    return "it is a FIFO whose other end nobody opens", "Start its reader or writer."


def _page(_process: int, _standing: Standing) -> tuple[str, str]:
    return "its file system doesn't deliver the page", "Is a network mount dead, or a disk?"


def _mutex(process: int, standing: Standing) -> tuple[str, str]:
    owner = standing.ends[0]
    if owner.thread in standing.threads:
        return "the thread holds it itself", "It locks it twice: a recursive mutex, or one lock less."
    return f"it is held by {_ends(process, standing)}", "Look at what that thread does: py-spy dump, or gdb."


def _orphan(_process: int, standing: Standing) -> tuple[str, str]:
    return (
        f"its holder, thread {standing.ends[0].thread}, isn't in this process",
        "It was forked while another thread held it, or that thread ended: start children by spawn, before threads.",
    )


def _gil(process: int, standing: Standing) -> tuple[str, str]:
    return (
        f"the GIL is held all the time by {_ends(process, standing)}",
        "What it calls doesn't release the GIL: load the library with CDLL, or call it in another process.",
    )


def _pool(_process: int, _standing: Standing) -> tuple[str, str]:
    return (
        "the threads of the pool are not in this process: it was forked after they had been started",
        "Load the model in the child, or start children by spawn (multiprocessing.set_start_method('spawn')).",
    )


def _deadlock(_process: int, _standing: Standing) -> tuple[str, str]:
    return (
        "no other thread is left to wake it, only a signal can",
        "A lock was held when it was forked, or its threads wait for each other.",
    )


_CAUSES: dict[str, Callable[[int, Standing], tuple[str, str]]] = {
    "lock": _lock, "full": _full, "no-writer": _no_writer, "no-answer": _no_answer, "connecting": _connecting,
    "file": _file, "fifo": _fifo, "page": _page, "mutex": _mutex, "mutex-orphan": _orphan, "gil": _gil, "pool": _pool,
    "deadlock": _deadlock,
}  # fmt: skip
"""By :attr:`Standing.why`."""


def unanswered_text(process: int, requests: Sequence[UnansweredRequest]) -> tuple[str, str]:
    """Return what is to be said of requests without an answer, the oldest first."""
    first, count = requests[0], len(requests)
    who = f"{first.client} ({end_text(process, first.ends[0])})" if first.ends else first.client
    waits = f"{who} has waited" if count == 1 else f"{count} clients have waited, {who} longest:"
    meanwhile = ""
    if first.others:
        meanwhile = f"; meanwhile {first.others} other connection{'s are' if first.others > 1 else ' is'} being answered"
    return (
        f"{waits} at least {_seconds(first.seconds)} for an answer, or the rest of it, on {first.address}{meanwhile}",
        "Requests that wait for each other need a server with several sequences, or several processes."
        if first.others
        else "It is being computed, or waits for its turn: look at the threads.",
    )
