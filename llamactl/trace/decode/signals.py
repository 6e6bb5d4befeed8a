"""Names of signals and of errors. Sources: asm-generic/signal.h, errno-base.h, errno.h, linux/errno.h."""

from __future__ import annotations

import errno

from llamactl.trace.decode.bits import numbered

SIGNALS = numbered(
    "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE"
    " SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ"
    " SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS",
    1,
)
_FIRST_REALTIME = 32
_LAST_REALTIME = 64

# The kernel restarts these calls itself; the program never sees the numbers, a tracer does.
_RESTART = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
_LARGEST_ERROR = 4095


def signal_name(number: int) -> str:
    """Return ``SIGTERM``, ``SIGRT_2`` or the number."""
    if _FIRST_REALTIME <= number <= _LAST_REALTIME:
        return f"SIGRT_{number - _FIRST_REALTIME}"
    return SIGNALS.get(number, str(number))


def error_name(result: int) -> str | None:
    """Return the error's name when ``result`` is one (-4095 … -1), else None."""
    if not -_LARGEST_ERROR <= result < 0:
        return None
    return _RESTART.get(-result) or errno.errorcode.get(-result) or f"error {-result}"
