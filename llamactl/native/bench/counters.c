// Counters of perf_event_open(2): instructions, cycles, and tracepoints such as every system call.
#define _GNU_SOURCE
#include "bench/bench.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int llamactl_counter_open(uint32_t type, uint64_t config, bool exclude_kernel) {
    struct perf_event_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = type;
    attr.config = config;
    // Threads that the engine starts later count too; one read sums them up.
    attr.inherit = 1;
    attr.exclude_kernel = exclude_kernel;
    attr.exclude_hv = exclude_kernel;
    attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int) fd;
}

int llamactl_counter_read(int fd, uint64_t * value, uint64_t * enabled_ns, uint64_t * running_ns) {
    uint64_t fields[3];
    ssize_t got = read(fd, fields, sizeof fields);
    if (got != (ssize_t) sizeof fields) {
        return got < 0 ? -errno : -EIO;
    }
    *value = fields[0];
    *enabled_ns = fields[1];
    *running_ns = fields[2];
    return 0;
}
