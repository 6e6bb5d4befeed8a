"""Signals, clocks and what is left. Source: section 2 of the manual."""

from __future__ import annotations

from llamactl.trace.decode.families import Family
from llamactl.trace.decode.row import Row, newer

_SIGNAL = Family.SIGNAL
_CLOCK = Family.CLOCK

SIGNALS = (
    Row("rt_sigaction", _SIGNAL, "signum:signal act:pointer oldact:pointer sigsetsize:size"),
    Row("rt_sigprocmask", _SIGNAL, "how:sigmask set:pointer oldset:pointer sigsetsize:size"),
    Row("rt_sigreturn", _SIGNAL, x86_64=15),
    Row("rt_sigsuspend", _SIGNAL, "mask:pointer sigsetsize:size"),
    Row("rt_sigpending", _SIGNAL, "set:pointer sigsetsize:size"),
    Row("rt_sigtimedwait", _SIGNAL, "set:pointer info:pointer timeout:pointer sigsetsize:size"),
    Row("rt_sigqueueinfo", _SIGNAL | Family.PROCESS, "tgid:int sig:signal info:pointer"),
    Row("rt_tgsigqueueinfo", _SIGNAL | Family.PROCESS, "tgid:int tid:int sig:signal info:pointer"),
    Row("sigaltstack", _SIGNAL, "ss:pointer old_ss:pointer"),
    Row("tkill", _SIGNAL | Family.PROCESS, "tid:int sig:signal"),
    Row("tgkill", _SIGNAL | Family.PROCESS, "tgid:int tid:int sig:signal"),
    Row("pause", _SIGNAL),
)

CLOCKS = (
    Row("clock_gettime", _CLOCK, "clockid:clock tp:pointer"),
    Row("clock_settime", _CLOCK, "clockid:clock tp:pointer"),
    Row("clock_getres", _CLOCK, "clockid:clock res:pointer"),
    Row("clock_adjtime", _CLOCK, "clockid:clock tx:pointer"),
    Row("clock_nanosleep", Family.NONE, "clockid:clock flags:hex request:timespec remain:pointer"),
    Row("nanosleep", Family.NONE, "req:timespec rem:pointer"),
    Row("gettimeofday", _CLOCK, "tv:pointer tz:pointer"),
    Row("settimeofday", _CLOCK, "tv:pointer tz:pointer"),
    Row("time", _CLOCK, "tloc:pointer"),
    Row("adjtimex", _CLOCK, "buf:pointer"),
)

OTHER = (
    Row("getrandom", Family.NONE, "buf:pointer buflen:size flags:getrandom", moves="made"),
    Row("uname", Family.NONE, "buf:pointer"),
    Row("sysinfo", Family.NONE, "info:pointer"),
    Row("getcpu", Family.NONE, "cpu:pointer node:pointer tcache:pointer"),
    Row("restart_syscall", Family.NONE),
    Row("modify_ldt", Family.NONE, "func:int ptr:pointer bytecount:size", x86_64=154),
    Row("iopl", Family.NONE, "level:int"),
    newer(459, "lsm_get_self_attr", Family.NONE, "attr:uint ctx:pointer size:pointer flags:hex"),
    newer(460, "lsm_set_self_attr", Family.NONE, "attr:uint ctx:pointer size:uint flags:hex"),
    newer(461, "lsm_list_modules", Family.NONE, "ids:pointer size:pointer flags:hex"),
    Row("uretprobe", Family.NONE, x86_64=335),
    Row("uprobe", Family.NONE, x86_64=336),
)
