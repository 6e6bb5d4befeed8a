/* Open the kernel events of a thread, on each CPU, into that CPU's ring (perf_event_open(2)). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf/perf.h"
#include "perf/user.h"

#define SMALLEST_RING (32u << 10)

enum event {
    EVENT_SIDE,
    EVENT_ENTER,
    EVENT_EXIT,
    EVENT_MINOR,
    EVENT_MAJOR,
    EVENT_PROBE_ENTER,
    EVENT_PROBE_LEAVE,
    EVENT_COUNT
};

void perf_describe(const struct perf * perf, uint64_t sample_type, struct perf_event_attr * attr) {
    memset(attr, 0, sizeof *attr);
    attr->size = sizeof *attr;
    attr->sample_type = sample_type;
    attr->sample_period = 1;
    attr->inherit = 1;
    attr->sample_id_all = 1;
    attr->use_clockid = 1;
    attr->clockid = CLOCK_MONOTONIC;
    attr->watermark = 1;
    attr->wakeup_watermark = perf->settings.ring_bytes / 4;
}

static void describe_probe(const struct perf * perf, enum event event,
                           struct perf_event_attr * attr) {
    bool enter = event == EVENT_PROBE_ENTER;
    attr->type = PERF_TYPE_TRACEPOINT;
    attr->config =
        (uint64_t) (enter ? perf->settings.probe_enter_id : perf->settings.probe_leave_id);
    attr->sample_type |= PERF_SAMPLE_REGS_USER | (enter ? PERF_SAMPLE_STACK_USER : 0);
    attr->sample_regs_user = USER_REGISTERS;
    attr->sample_stack_user = enter ? USER_STACK_BYTES : 0;
}

static void describe(const struct perf * perf, enum event event, bool on_exec,
                     struct perf_event_attr * attr) {
    perf_describe(perf, SAMPLE, attr);
    attr->type = PERF_TYPE_SOFTWARE;
    attr->disabled = 1;
    attr->enable_on_exec = on_exec;
    switch (event) {
    case EVENT_ENTER:
    case EVENT_EXIT:
        attr->type = PERF_TYPE_TRACEPOINT;
        attr->config =
            (uint64_t) (event == EVENT_ENTER ? perf->settings.enter_id : perf->settings.exit_id);
        break;
    case EVENT_MINOR:
        attr->config = PERF_COUNT_SW_PAGE_FAULTS_MIN;
        break;
    case EVENT_MAJOR:
        attr->config = PERF_COUNT_SW_PAGE_FAULTS_MAJ;
        break;
    case EVENT_PROBE_ENTER:
    case EVENT_PROBE_LEAVE:
        describe_probe(perf, event, attr);
        break;
    default:
        attr->config = PERF_COUNT_SW_DUMMY;
        attr->mmap = !perf->settings.boundary;
        attr->mmap2 = !perf->settings.boundary;
        attr->mmap_data = !perf->settings.boundary;
        attr->comm = !perf->settings.boundary;
        attr->comm_exec = !perf->settings.boundary;
        attr->task = 1;
        attr->exclude_kernel = perf->settings.boundary; /* Without it nobody but root gets it. */
        attr->exclude_hv = perf->settings.boundary;
        break;
    }
}

static bool is_asked_for(const struct perf * perf, enum event event) {
    switch (event) {
    case EVENT_ENTER:
    case EVENT_EXIT:
        return perf->settings.enter_id > 0;
    case EVENT_MINOR:
    case EVENT_MAJOR:
        return perf->settings.faults;
    case EVENT_PROBE_ENTER:
        return perf->settings.probe_enter_id > 0;
    case EVENT_PROBE_LEAVE:
        return perf->settings.probe_leave_id > 0;
    default:
        return true;
    }
}

static bool remember_fd(struct perf * perf, int fd) {
    if (perf->fd_count == perf->fd_room) {
        uint32_t room = perf->fd_room ? perf->fd_room * 2 : 64;
        int * fds = realloc(perf->fds, room * sizeof *fds);
        if (!fds) {
            return false;
        }
        perf->fds = fds;
        perf->fd_room = room;
    }
    perf->fds[perf->fd_count++] = fd;
    return true;
}

static bool remember_major(struct perf * perf, int fd) {
    uint64_t id = 0;
    if (perf->major_count == perf->major_room) {
        uint32_t room = perf->major_room ? perf->major_room * 2 : 64;
        uint64_t * ids = realloc(perf->major_ids, room * sizeof *ids);
        if (!ids) {
            return false;
        }
        perf->major_ids = ids;
        perf->major_room = room;
    }
    if (ioctl(fd, PERF_EVENT_IOC_ID, &id) != 0) {
        return false;
    }
    perf->major_ids[perf->major_count++] = id; /* Ids grow, so the array stays sorted. */
    return true;
}

bool perf_is_major(const struct perf * perf, uint64_t id) {
    uint32_t low = 0, high = perf->major_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (perf->major_ids[middle] < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < perf->major_count && perf->major_ids[low] == id;
}

/* Maps a ring, smaller where the limit on locked memory doesn't allow the size asked for. */
static int map_ring(struct perf * perf, struct perf_ring * ring, int fd) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    for (size_t size = perf->settings.ring_bytes; size >= SMALLEST_RING; size /= 2) {
        uint8_t * base = mmap(NULL, page + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            ring->fd = fd;
            ring->page = (struct perf_event_mmap_page *) base;
            ring->ring.data = base + page;
            ring->ring.size = size;
            return 0;
        }
        if (errno != EPERM && errno != ENOMEM) {
            break;
        }
    }
    return -errno;
}

static int set_filter(const struct perf * perf, enum event event, int fd) {
    const char * filter =
        event == EVENT_ENTER ? perf->settings.enter_filter : perf->settings.exit_filter;
    bool filtered = (event == EVENT_ENTER || event == EVENT_EXIT) && filter[0];
    return filtered && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) != 0 ? -errno : 0;
}

static int open_event(struct perf * perf, pid_t tid, int cpu, enum event event, bool on_exec) {
    struct perf_event_attr attr;
    struct perf_ring * ring = &perf->rings[cpu];
    describe(perf, event, on_exec, &attr);
    int fd = (int) syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (!remember_fd(perf, fd)) {
        close(fd);
        return -ENOMEM;
    }
    int error = set_filter(perf, event, fd);
    if (error) {
        return error;
    }
    if (!ring->page) {
        error = map_ring(perf, ring, fd);
    } else if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fd) != 0) {
        error = -errno;
    }
    if (!error && event == EVENT_MAJOR && !remember_major(perf, fd)) {
        error = -ENOMEM;
    }
    return error;
}

int perf_open_task(struct perf * perf, pid_t tid, bool on_exec) {
    for (int cpu = 0; cpu < perf->ring_count; cpu++) {
        for (int event = 0; event < EVENT_COUNT; event++) {
            if (!is_asked_for(perf, event)) {
                continue;
            }
            int error = open_event(perf, tid, cpu, event, on_exec);
            if (error == -ENODEV && event == EVENT_SIDE) {
                break; /* This CPU is offline. */
            }
            if (error) {
                return error;
            }
        }
    }
    return 0;
}
