"""How a program and its processes ended, as sentences for the report's head."""

from __future__ import annotations

from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.exchange import place_text
from llamactl.render.trace.text import counted, shortened
from llamactl.trace.mechanisms.end.endings import EndCause, Ending

SHOWN = 3
_ENGINE = ("libggml", "libllama", "libmtmd")
_ILLEGAL = "SIGILL"
_ITSELF = {
    "SIGPIPE": ": it wrote to a pipe or socket that nobody reads any more",
    "SIGABRT": ": it called abort",
}
"""Signals that a process gets for what it did itself (pipe(7), abort(3))."""


def ending_lines(endings: list[Ending]) -> list[str]:
    """Return a sentence for each process that didn't simply exit, the program's own first."""
    lines = [ending_text(ending) for ending in endings[:SHOWN]]
    if len(endings) > SHOWN:
        lines.append(f"+{len(endings) - SHOWN} more ended by signals: --show endings")
    return lines


def ending_text(ending: Ending) -> str:
    """Return one sentence, and for an illegal instruction what to do about it."""
    who = "ended" if ending.main else f"{_process(ending.pid, ending.name)} ended"
    text = f"{who}: {_how(ending)}"
    if ending.call is not None:
        at = f", called at {place_text(ending.place)}" if ending.place is not None else ""
        text += f", in {safe_text(ending.call)}{at}"
    if ending.cause in {EndCause.SENT, EndCause.NOT_RECORDED} and ending.signal == "SIGKILL":
        text += "" if ending.oom_kills is None else _memory(ending)
    return text + (_remedy(ending) if ending.signal == _ILLEGAL and ending.cause is EndCause.FAULT else "")


def _process(pid: int | None, name: str | None) -> str:
    plain = f"process {pid}"
    return plain if name in {None, plain} else f"{plain} ({safe_text(name or '')})"


def _how(ending: Ending) -> str:
    if ending.cause is EndCause.EXIT:
        return f"exit status {ending.exit_code}"
    if ending.cause is EndCause.OUT_OF_MEMORY:
        where = f"control group {safe_text(ending.oom_group)}" if ending.oom_group else "this machine"
        kills = counted(ending.oom_kills or 0, "kill")
        return f"{ending.signal} from the kernel, out of memory ({kills} counted for {where})"
    if ending.cause is EndCause.FAULT:
        return f"{ending.signal} by its own fault{_where(ending)}"
    return f"{ending.signal or 'how'}{_by(ending)}"


def _by(ending: Ending) -> str:
    if ending.cause is EndCause.SENT:
        if ending.sender_pid != ending.pid:
            return f" sent by {_process(ending.sender_pid, ending.sender)}"
        return _ITSELF.get(ending.signal or "", " sent by itself")
    return {
        EndCause.KERNEL: " from the kernel",
        EndCause.NOT_RECORDED: " from a process that wasn't recorded",
    }.get(ending.cause, " isn't known" if ending.signal is None else ", who sent it isn't known")


def _where(ending: Ending) -> str:
    if ending.library is None:
        return " in code outside of all files"
    library = safe_text(PurePath(ending.library).name)
    if ending.function is None:
        return f" in {library}+{ending.offset or 0:#x}"
    return f" in {shortened(safe_text(ending.function), 60)}+{ending.offset or 0:#x} of {library}"


def _memory(ending: Ending) -> str:
    if not ending.oom_kills:
        return "; the kernel killed nothing for memory meanwhile"
    where = f"in control group {safe_text(ending.oom_group)}" if ending.oom_group else "on this machine"
    return f"; the kernel killed {counted(ending.oom_kills, 'process')} for memory meanwhile {where}"


def _remedy(ending: Ending) -> str:
    library = PurePath(ending.library).name if ending.library else ""
    whose = "llama.cpp was" if library.startswith(_ENGINE) else "that code was"
    return (
        f". This CPU doesn't have that instruction: {whose} built for another one. `llamactl inspect` lists what this"
        " one has; install a build for it, or build llama.cpp on this machine (GGML_NATIVE, on by default, takes what"
        " the CPU has)"
    )
