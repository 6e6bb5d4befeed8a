/* ptrace(2) itself, as one function for every kind of request. */
#ifndef LLAMACTL_COMMON_REQUEST_H
#define LLAMACTL_COMMON_REQUEST_H

#include <linux/ptrace.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline long request(int what, pid_t tid, uint64_t address, void * data) {
    return syscall(SYS_ptrace, what, tid, address, data);
}

#endif
