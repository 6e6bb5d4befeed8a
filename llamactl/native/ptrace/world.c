/* What a program does that it couldn't tell from being untraced, if we didn't interfere: filters of
 * its own that ask for a tracer, strict seccomp, and tracing. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ptrace/tracer.h"

/* Skips the call that a thread is about to make, with ENOSYS as its result. */
static bool refuse(pid_t tid) {
    arch_registers registers;
    struct iovec where = {&registers, sizeof registers};
    if (request(PTRACE_GETREGSET, tid, NT_PRSTATUS, &where) != 0) {
        return false;
    }
    arch_skip_call(&registers, -ENOSYS);
#if defined(__aarch64__)
    int none = -1;
    struct iovec number = {&none, sizeof none};
    request(PTRACE_SETREGSET, tid, NT_ARM_SYSTEM_CALL, &number);
#endif
    return request(PTRACE_SETREGSET, tid, NT_PRSTATUS, &where) == 0;
}

void world_filtered(struct task * task, uint32_t data) {
    /* Of filters that say the same, the newest one's data comes: the program's own. Without a
     * tracer its call fails (seccomp(2), SECCOMP_RET_TRACE). */
    if (data != TRACE_MARK) {
        refuse(task->tid);
    }
}

void world_looks(struct tracer * tracer, uint64_t nr, const uint64_t * args) {
    bool strict =
        (nr == SYS_prctl && args[0] == PR_SET_SECCOMP && args[1] == SECCOMP_MODE_STRICT) ||
        (nr == SYS_seccomp && args[0] == SECCOMP_SET_MODE_STRICT);
    if (strict && tracer->seccomp) {
        atomic_fetch_or(&tracer->refused, REFUSED_STRICT);
    }
    if (nr == SYS_ptrace && args[0] == PTRACE_TRACEME) {
        atomic_fetch_or(&tracer->refused, REFUSED_TRACEME);
    }
}
