"""Ctrl-C while the program waits for its start: an interrupt, and not a program that can't be run."""

from __future__ import annotations

import os
import signal

import pytest

from llamactl.trace.record.syscalls.base import Command, Options
from llamactl.trace.record.syscalls.choose import LOOP_SYSTEM_CALL
from llamactl.trace.record.syscalls.native import lib
from llamactl.trace.record.syscalls.ptrace import PtraceEngine


def test_ctrl_c_before_the_program_begins() -> None:
    engine = PtraceEngine(Options(frozenset({LOOP_SYSTEM_CALL})))
    command = Command(("sleep", "60"))
    lib.tracer_hold(engine.tracer)
    engine.launch(command)
    while not lib.tracer_held(engine.tracer):
        os.sched_yield()
    os.kill(engine.state().pid, signal.SIGINT)
    lib.tracer_release(engine.tracer)
    with pytest.raises(KeyboardInterrupt):
        engine.finish_start(command)
    engine.close()
