"""Calls that make, end, wait for or describe processes and threads. Source: section 2 of the manual."""

from __future__ import annotations

from llamactl.trace.decode.families import Family
from llamactl.trace.decode.row import Row, newer

_PROCESS = Family.PROCESS
_THREAD = Family.THREAD
_CREDS = Family.CREDS

PROCESS = (
    Row("clone", _PROCESS | _THREAD, "flags:clone stack:pointer parent_tid:pointer child_tid:pointer tls:pointer"),
    newer(435, "clone3", _PROCESS | _THREAD, "cl_args:clone3 size:size"),
    Row("fork", _PROCESS),
    Row("vfork", _PROCESS),
    Row("execve", _PROCESS | Family.FILE, "pathname:path argv:argv envp:pointer"),
    Row("execveat", _PROCESS | Family.FILE | Family.DESC,
        "dirfd:at pathname:path argv:argv envp:pointer flags:at_flags"),
    Row("exit", _PROCESS | _THREAD, "status:int"),
    Row("exit_group", _PROCESS, "status:int"),
    Row("wait4", _PROCESS, "pid:int wstatus:status options:wait rusage:pointer"),
    Row("waitid", _PROCESS, "idtype:waitid id:int infop:pointer options:wait rusage:pointer"),
    Row("kill", _PROCESS | Family.SIGNAL, "pid:int sig:signal"),
    newer(424, "pidfd_send_signal", _PROCESS | Family.DESC | Family.SIGNAL,
          "pidfd:fd sig:signal info:pointer flags:hex"),
    newer(434, "pidfd_open", Family.DESC, "pid:int flags:fdflags", "newfd"),
    newer(438, "pidfd_getfd", Family.DESC, "pidfd:fd targetfd:plainfd flags:hex", "newfd"),
    Row("unshare", _PROCESS, "flags:clone"),
    Row("setns", Family.DESC, "fd:fd nstype:clone"),
    Row("prctl", _THREAD | Family.CREDS, "option:prctl arg2:hex arg3:hex arg4:hex arg5:hex"),
    Row("arch_prctl", _THREAD, "code:arch_prctl addr:pointer", x86_64=158),
    Row("seccomp", Family.NONE, "operation:uint flags:hex args:pointer"),
    Row("ptrace", Family.NONE, "request:long pid:int addr:pointer data:pointer"),
    Row("prlimit64", Family.NONE, "pid:int resource:rlimit new_limit:rlimit_in old_limit:rlimit_out"),
    Row("getrlimit", Family.NONE, "resource:rlimit rlim:pointer"),
    Row("setrlimit", Family.NONE, "resource:rlimit rlim:pointer"),
    Row("getrusage", Family.NONE, "who:int usage:pointer"),
)  # fmt: skip

THREAD = (
    Row("futex", Family.NONE, "uaddr:pointer futex_op:futex val:uint timeout:pointer uaddr2:pointer val3:hex"),
    newer(449, "futex_waitv", Family.NONE,
          "waiters:pointer nr_futexes:uint flags:hex timeout:pointer clockid:clock"),
    newer(454, "futex_wake", Family.NONE, "uaddr:pointer mask:hex nr:int flags:hex"),
    newer(455, "futex_wait", Family.NONE,
          "uaddr:pointer val:uint mask:hex flags:hex timeout:pointer clockid:clock"),
    newer(456, "futex_requeue", Family.NONE, "waiters:pointer flags:hex nr_wake:int nr_requeue:int"),
    Row("set_robust_list", _THREAD, "head:pointer len:size"),
    Row("get_robust_list", _THREAD, "pid:int head_ptr:pointer len_ptr:pointer"),
    Row("set_tid_address", _THREAD, "tidptr:pointer", x86_64=218),
    Row("rseq", _THREAD, "rseq:pointer rseq_len:uint flags:rseq sig:hex", x86_64=334, aarch64=293),
    Row("membarrier", _THREAD, "cmd:membarrier flags:hex cpu_id:int"),
    Row("gettid", Family.NONE),
    Row("sched_yield", Family.NONE),
    Row("sched_setaffinity", _THREAD, "pid:int cpusetsize:size mask:pointer"),
    Row("sched_getaffinity", _THREAD, "pid:int cpusetsize:size mask:pointer"),
    Row("sched_setscheduler", _THREAD, "pid:int policy:scheduler param:pointer"),
    Row("sched_getscheduler", _THREAD, "pid:int", result="scheduler"),
    Row("sched_setparam", _THREAD, "pid:int param:pointer"),
    Row("sched_getparam", _THREAD, "pid:int param:pointer"),
    Row("sched_setattr", _THREAD, "pid:int attr:pointer flags:hex"),
    Row("sched_getattr", _THREAD, "pid:int attr:pointer size:uint flags:hex"),
    Row("set_thread_area", _THREAD, "u_info:pointer", x86_64=205),
    Row("get_thread_area", _THREAD, "u_info:pointer", x86_64=211),
)  # fmt: skip

CREDENTIALS = tuple(
    Row(name, _CREDS)
    for name in (
        "getuid getgid geteuid getegid setuid setgid setreuid setregid setresuid getresuid setresgid getresgid"
        " setfsuid setfsgid getgroups setgroups capget capset"
    ).split()
)
