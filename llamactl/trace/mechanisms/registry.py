"""All mechanisms, in the order of the report. A new one is a file and a line here."""

from __future__ import annotations

from typing import Any

from llamactl.trace.mechanisms.buffers.mechanism import Buffers
from llamactl.trace.mechanisms.cpu.mechanism import Cpu
from llamactl.trace.mechanisms.disk.mechanism import Disk
from llamactl.trace.mechanisms.end.mechanism import Processes
from llamactl.trace.mechanisms.files.mechanism import Files
from llamactl.trace.mechanisms.gil.mechanism import Gil
from llamactl.trace.mechanisms.gpu.mechanism import Gpu
from llamactl.trace.mechanisms.interface.mechanism import Interface
from llamactl.trace.mechanisms.mapping.mechanism import Mappings
from llamactl.trace.mechanisms.mechanism import Mechanism
from llamactl.trace.mechanisms.memory.growth import Memory
from llamactl.trace.mechanisms.memory.page_faults import PageFaults
from llamactl.trace.mechanisms.requests.mechanism import Requests
from llamactl.trace.mechanisms.run_facts import Run
from llamactl.trace.mechanisms.slow.mechanism import Slow
from llamactl.trace.mechanisms.syscalls.mechanism import SystemCalls
from llamactl.trace.mechanisms.threads.locks import Locks
from llamactl.trace.mechanisms.threads.mechanism import Threads
from llamactl.trace.mechanisms.threads.rpc_workers import Workers

MECHANISMS: list[type[Mechanism[Any]]] = [
    Run,
    SystemCalls,
    Interface,
    Requests,
    Buffers,
    Mappings,
    PageFaults,
    Disk,
    Threads,
    Processes,
    Cpu,
    Gil,
    Slow,
    Locks,
    Gpu,
    Workers,
    Files,
    Memory,
]
