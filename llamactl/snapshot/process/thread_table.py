"""All threads of a process with their roles, the pools they belong to, and the CPUs they may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from llamactl.process.cpu_budget import CpuBudget, cpu_budget, parse_cpu_list
from llamactl.process.engine.libraries import library_role
from llamactl.process.proc import ProcessDir
from llamactl.process.threads.last_ran import seconds_asleep
from llamactl.process.threads.pools import Pool, find_pools, settings
from llamactl.process.threads.stacks import code_file
from llamactl.process.threads.thread_roles import Thread, find_spinning, role_of
from llamactl.process.threads.threads import Reading
from llamactl.process.threads.waiting import describe
from llamactl.snapshot.process.address_space import AddressSpace
from llamactl.snapshot.process.standing import Asleep, find_standing
from llamactl.snapshot.process.standing_facts import Standing
from llamactl.snapshot.process.unanswered import UnansweredRequest, unanswered_requests

_COMPUTE = ("libgomp", "libomp", "ggml worker")
_LEADS = 0.2
"""A thread that ran for so much of the sample may lead a pool."""


@dataclass(frozen=True, slots=True)
class ThreadTable:
    """The threads, their pools, and how many may run at once.

    ``compute_threads`` are those of the largest pool that computes and the one that leads it; 0 means
    that no such pool runs right now. ``settings`` is None where the environment may not be read;
    ``standing`` are the threads that wait for what should have come, ``unanswered`` the requests that a
    server of llama.cpp has read and not answered.
    """

    threads: tuple[Thread, ...]
    pools: tuple[Pool, ...]
    budget: CpuBudget | None
    compute_threads: int
    settings: Mapping[str, str] | None
    standing: tuple[Standing, ...]
    unanswered: tuple[UnansweredRequest, ...]


def build_table(
    process: ProcessDir,
    readings: Sequence[Reading],
    space: AddressSpace | None,
    engine: Collection[str],
    environment: Mapping[str, str] | None,
    asleep: Asleep = seconds_asleep,
) -> ThreadTable:
    """Join readings and address space.

    Args:
        process: The process.
        readings: Its threads.
        space: Its address space, None where it may not be read; roles are unknown then.
        engine: Files that hold llama.cpp inside of something else.
        environment: What the process was started with, or None.
        asleep: Tells for how many seconds a thread hasn't run.
    """
    roles = [_role(process.pid, reading, space, engine) for reading in readings]
    spinning = find_spinning(list(readings), [role for role, _ in roles])
    threads = tuple(
        Thread(reading, role, evidence, _waits_on(process, reading, space), spins)
        for reading, (role, evidence), spins in zip(readings, roles, spinning, strict=True)
    )
    counts = Counter(role for role, _ in roles)
    most = max(counts[name] for name in _COMPUTE)
    pools = find_pools(space.libraries(), environment) if space else []
    chosen = None if environment is None else settings(environment)
    serves = space is not None and any(
        library_role(path.rpartition("/")[2]) == "engine" for path in space.maps.path
    )
    unanswered = tuple(unanswered_requests(process)) if serves or engine else ()
    standing = tuple(find_standing(process, threads, space, asleep))
    return ThreadTable(
        threads,
        tuple(pools),
        _budget(process, threads),
        most + 1 if most else 0,
        chosen,
        standing,
        unanswered,
    )


def _role(pid: int, reading: Reading, space: AddressSpace | None, engine: Collection[str]) -> tuple[str, str]:
    if space is None:
        return role_of(pid, reading, None, _no_owner, engine)
    maps = space.maps
    return role_of(pid, reading, space.stacks.get(reading.thread), lambda at: code_file(maps, at), engine)


def _waits_on(process: ProcessDir, reading: Reading, space: AddressSpace | None) -> str:
    if reading.wait is None:
        return reading.kernel_place
    owner = space.futex_owner if space else _no_owner
    return describe(reading.wait, lambda fd: _open_file(process, fd), owner)


def _no_owner(_address: int) -> str:
    return ""


def _open_file(process: ProcessDir, fd: int) -> str:
    try:
        return process.link(f"fd/{fd}")
    except OSError:
        return ""


def _budget(process: ProcessDir, threads: Sequence[Thread]) -> CpuBudget | None:
    try:
        return cpu_budget(process.pid, cpus=computing_cpus(process.pid, threads))
    except OSError as error:
        process.refuse("threads", error, "CPU budget")
        return None


def computing_cpus(pid: int, threads: Sequence[Thread]) -> set[int] | None:
    """Return the CPUs that the threads of the pools which compute may use; None without such a pool.

    Whoever leads a pool computes with it: a thread that is busy as well, one that may use the same CPUs as the pool
    (its threads have that from who made them), or else the process's first one.
    """
    pool = [thread for thread in threads if thread.role in _COMPUTE]
    if not pool:
        return None
    others = [thread for thread in threads if thread.role not in _COMPUTE]
    busy = [thread for thread in others if (thread.reading.busy or 0) >= _LEADS]
    placed = {thread.reading.affinity for thread in pool}
    like_the_pool = [thread for thread in others if thread.reading.affinity in placed]
    leads = busy or like_the_pool or [thread for thread in others if thread.reading.thread == pid]
    lists = [thread.reading.affinity for thread in (*pool, *leads)]
    return set().union(*map(parse_cpu_list, lists)) or None
