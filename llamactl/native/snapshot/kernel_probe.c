// Asking by doing: a security module, a container's seccomp profile and a sysctl can each refuse,
// and none of them can be read off completely.
#define _GNU_SOURCE
#include "snapshot/kernel.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int llamactl_probe_ptrace(void) {
    pid_t child = fork();
    if (child < 0) {
        return errno;
    }
    if (child == 0) {
        // Nothing of the interpreter runs here; the parent ends it.
        for (;;) {
            pause();
        }
    }
    int error = ptrace(PTRACE_SEIZE, child, 0, 0) == 0 ? 0 : errno;
    kill(child, SIGKILL);
    while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
    }
    return error;
}

int llamactl_probe_seccomp_trace(void) {
    unsigned int action = SECCOMP_RET_TRACE;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

static int open_event(struct perf_event_attr * event, pid_t pid, int cpu) {
    long fd = syscall(SYS_perf_event_open, event, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    close((int) fd);
    return 0;
}

int llamactl_probe_perf_cpu(void) {
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof event,
                                    .config = PERF_COUNT_SW_DUMMY,
                                    .disabled = 1};
    return open_event(&event, -1, 0);
}

int llamactl_probe_perf_self(void) {
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof event,
                                    .config = PERF_COUNT_SW_DUMMY,
                                    .disabled = 1,
                                    .exclude_kernel = 1,
                                    .exclude_hv = 1};
    return open_event(&event, 0, -1);
}

int llamactl_probe_perf_arguments(void) {
    return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0UL) < 0 ? errno : 0;
}

int llamactl_probe_ptrace_arguments(void) {
    return ptrace(PTRACE_CONT, 0, 0, 0) < 0 ? errno : 0;
}

int llamactl_probe_bpf_arguments(void) {
    return syscall(SYS_bpf, -1, NULL, 0) < 0 ? errno : 0;
}

int llamactl_probe_mount_arguments(void) {
    return syscall(SYS_mount, NULL, NULL, NULL, 0UL, NULL) < 0 ? errno : 0;
}
