/* Watch addresses with the processor's debug registers (PERF_TYPE_BREAKPOINT). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf/perf.h"
#include "perf/user.h"

#define WATCHED_BYTES 4 /* one float */
#define MOST_EVENTS 1024

static void describe(const struct perf * perf, uint64_t address, struct perf_event_attr * attr) {
    perf_describe(perf, SAMPLE | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER, attr);
    attr->type = PERF_TYPE_BREAKPOINT;
    attr->sample_regs_user = USER_REGISTERS;
    attr->sample_stack_user = USER_STACK_BYTES;
    attr->exclude_kernel = 1;
    attr->exclude_hv = 1;
    attr->bp_addr = address;
    attr->bp_len = WATCHED_BYTES;
    /* x86 can't tell reads from writes. */
    attr->bp_type = HW_BREAKPOINT_RW;
}

static int add_watch(struct perf * perf, int fd, int which) {
    struct watch watch = {fd, which, 0};
    int error = ioctl(fd, PERF_EVENT_IOC_ID, &watch.id) == 0 ? 0 : -errno;
    pthread_mutex_lock(&perf->watch_lock);
    if (!error && perf->watch_count == perf->watch_room) {
        uint32_t room = perf->watch_room ? perf->watch_room * 2 : 16;
        struct watch * watches = realloc(perf->watches, room * sizeof *watches);
        error = watches ? 0 : -ENOMEM;
        if (watches) {
            perf->watches = watches;
            perf->watch_room = room;
        }
    }
    if (!error) {
        perf->watches[perf->watch_count++] = watch;
    }
    pthread_mutex_unlock(&perf->watch_lock);
    return error;
}

static int open_on(struct perf * perf, int tid, int cpu, int which, uint64_t address) {
    struct perf_event_attr attr;
    describe(perf, address, &attr);
    attr.disabled = 1;
    int fd = (int) syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, perf->rings[cpu].fd) == 0 ? 0 : -errno;
    if (!error) {
        error = add_watch(perf, fd, which);
    }
    if (error) {
        close(fd);
        return error;
    }
    return ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) == 0 ? 0 : -errno;
}

int perf_watch(struct perf * perf, int tid, int which, uint64_t address) {
    int error = 0;
    for (int cpu = 0; cpu < perf->ring_count && !error; cpu++) {
        if (perf->rings[cpu].page) {
            error = open_on(perf, tid, cpu, which, address);
        }
    }
    return error;
}

static int count_threads(pid_t pid) {
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
    DIR * directory = opendir(path);
    for (struct dirent * entry; directory && (entry = readdir(directory));) {
        count += entry->d_name[0] != '.';
    }
    if (directory) {
        closedir(directory);
    }
    return count;
}

/* The threads there are; those that they start from now on are followed by the kernel. */
static int watch_threads(struct perf * perf, pid_t pid, int which, uint64_t address) {
    char path[64];
    int error = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
    DIR * directory = opendir(path);
    for (struct dirent * entry; directory && !error && (entry = readdir(directory));) {
        pid_t tid = (pid_t) strtol(entry->d_name, NULL, 10);
        error = tid > 0 ? perf_watch(perf, tid, which, address) : 0;
        error = error == -ESRCH ? 0 : error; /* It has ended meanwhile. */
    }
    if (directory) {
        closedir(directory);
    }
    return error;
}

int perf_watch_process(struct perf * perf, pid_t pid, pid_t tid, int which, uint64_t address) {
    int error = 0;
    if (atomic_load(&perf->stopping)) {
        return 0;
    }
    if (!perf->thread_started) {
        error = perf_open_task(perf, tid, false);
        error = error ? error : perf_start(perf, 1, pid);
    }
    if (error || count_threads(pid) * perf->ring_count > MOST_EVENTS) {
        return error ? error : perf_watch(perf, tid, which, address);
    }
    return watch_threads(perf, pid, which, address);
}

int perf_watch_allowed(void) {
    struct perf none = {0};
    struct perf_event_attr attr;
    describe(&none, (uint64_t) (uintptr_t) &none & ~3ull, &attr);
    attr.disabled = 1;
    int fd = (int) syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    int error = fd < 0 ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return error;
}

void perf_watch_limit(struct perf * perf, uint32_t touches) {
    perf->touches_left = touches;
}

bool perf_watch_counts(struct perf * perf, uint64_t now) {
    if (atomic_load(&perf->touch_until)) {
        return false;
    }
    if (perf->touches_left && !--perf->touches_left) {
        atomic_store(&perf->touch_until, now);
        perf_watch_end(perf);
    }
    return true;
}

uint64_t perf_watch_until(struct perf * perf) {
    return atomic_load(&perf->touch_until);
}

/* Of inherited events, too: the kernel passes it on to them. */
void perf_watch_end(struct perf * perf) {
    pthread_mutex_lock(&perf->watch_lock);
    for (uint32_t i = 0; i < perf->watch_count; i++) {
        ioctl(perf->watches[i].fd, PERF_EVENT_IOC_DISABLE, 0);
    }
    pthread_mutex_unlock(&perf->watch_lock);
}

int perf_watch_move(struct perf * perf, int which, uint64_t address) {
    struct perf_event_attr attr;
    int error = 0;
    describe(perf, address, &attr);
    for (uint32_t i = 0; i < perf->watch_count; i++) {
        if (perf->watches[i].which == which &&
            ioctl(perf->watches[i].fd, PERF_EVENT_IOC_MODIFY_ATTRIBUTES, &attr) != 0) {
            error = -errno;
        }
    }
    return error;
}

void perf_watch_close(struct perf * perf) {
    for (uint32_t i = 0; i < perf->watch_count; i++) {
        close(perf->watches[i].fd);
    }
    perf->watch_count = 0;
    free(perf->watches);
    perf->watches = NULL;
}

void perf_boundary(struct perf * perf, struct points * points, int enter_id, int leave_id) {
    perf->settings.boundary = true;
    perf->settings.probe_enter_id = enter_id;
    perf->settings.probe_leave_id = leave_id;
    perf->points = points;
}

uint64_t perf_inner(struct perf * perf) {
    return atomic_load(&perf->inner);
}
