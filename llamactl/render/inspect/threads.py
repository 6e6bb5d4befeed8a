"""Threads of a process as text."""

from __future__ import annotations

from collections import Counter

from llamactl.process.threads.thread_roles import Thread
from llamactl.render.columns import columns, shorten, wrapped
from llamactl.render.safe import safe_text
from llamactl.snapshot.process.thread_table import ThreadTable


def thread_lines(table: ThreadTable | None, most: int | None = None, *, brief: bool = False) -> list[str]:
    """Return the threads, their pools and the CPU budget; ``most`` bounds the threads that are listed."""
    if table is None:
        return []
    counts = Counter(thread.role for thread in table.threads)
    kinds = ", ".join(f"{count} {role}" for role, count in counts.most_common())
    lines = [f"Threads: {len(table.threads)} ({kinds})"]
    budget = f"can run at once: {table.budget}" if table.budget else "how many can run at once is unknown"
    compute = f"{table.compute_threads} compute" if table.compute_threads else "no pool computes"
    lines += wrapped(f"{compute}, {budget}")
    for pool in () if brief else table.pools:
        lines += wrapped(
            f"{pool.kind} {pool.wait_policy} ({pool.evidence}): {pool.library.rpartition('/')[2]}"
        )
    if table.settings and not brief:
        lines += wrapped(
            "started with " + " ".join(f"{name}={value}" for name, value in table.settings.items())
        )
    busiest = sorted(table.threads, key=lambda thread: -(thread.reading.busy or 0.0))
    shown = table.threads if most is None or len(busiest) <= most else busiest[:most]
    places = {thread.reading.affinity for thread in table.threads}
    if len(places) == 1:
        lines += wrapped(f"all may run on CPUs {places.pop()}")
    header = ("thread", "role", "state", "CPU@on", "user s", "sys s", "switches", "waits on")
    lines += columns(header, [_row(thread) for thread in shown], right="rllrrrrl")
    if len(places) > 1:
        lines += [
            line
            for thread in shown
            for line in wrapped(f"{thread.reading.thread} may run on {thread.reading.affinity}")
        ]
    if len(shown) < len(table.threads):
        lines.append(f"  … and {len(table.threads) - len(shown)} more")
    return lines


def _row(thread: Thread) -> tuple[str, ...]:
    reading = thread.reading
    busy = "?" if reading.busy is None else f"{100 * reading.busy:.0f}%"
    role = (
        f"{thread.role}: {reading.name}"
        if thread.role in ("Python", "C++ thread")
        else f"? {reading.name}"
        if thread.role == "unknown"
        else thread.role
    )
    switches = "?" if reading.voluntary_switches is None else (
        f"{reading.voluntary_switches}+{reading.involuntary_switches}"
    )  # fmt: skip
    return (
        str(reading.thread), shorten(safe_text(role), 14), reading.state, f"{busy}@{reading.last_cpu}",
        _seconds(reading.user_ns), _seconds(reading.system_ns), switches,
        "spinning" if thread.spinning else thread.waits_on,
    )  # fmt: skip


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.2f}"
