/* What Python calls of the perf recorder, and its thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/calls.h"
#include "perf/perf.h"

#define POLL_MS 50
#define POLL_CALLS_MS 10 /* The ring of our BPF programs wakes nobody. */
#define EAGER -10

int perf_tracefs(void) {
    /* Mounted for us alone, seen by nobody and gone with the file descriptor (fsopen(2),
     * fsmount(2)). */
    int context = (int) syscall(NR_FSOPEN, "tracefs", 1);
    if (context < 0) {
        return -errno;
    }
    int mount = -1;
    int error = 0;
    if (syscall(NR_FSCONFIG, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) == 0) {
        mount = (int) syscall(NR_FSMOUNT, context, 1, 0);
    }
    error = errno;
    close(context);
    return mount < 0 ? -error : mount;
}

struct perf * perf_new(uint32_t blocks, uint32_t ring_bytes, int enter_id, int exit_id, int faults,
                       int tasks, const uint8_t * selected) {
    struct perf * perf = calloc(1, sizeof *perf);
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    if (!perf) {
        return NULL;
    }
    perf->settings = (struct perf_settings) {.enter_id = enter_id,
                                             .exit_id = exit_id,
                                             .enter_filter = "",
                                             .exit_filter = "",
                                             .faults = faults,
                                             .tasks = tasks,
                                             .ring_bytes = ring_bytes};
    pthread_mutex_init(&perf->watch_lock, NULL);
    perf->selection = selection_of(selected);
    perf->rings = calloc((size_t) cpus, sizeof *perf->rings);
    perf->ring_count = perf->rings ? (int) cpus : 0;
    for (int i = 0; i < perf->ring_count; i++) {
        perf->rings[i].ring = (struct ring) {.kind = &perf_ring_kind, .owner = perf};
    }
    if (!perf->rings || !sink_open(&perf->sink, blocks)) {
        perf_free(perf);
        return NULL;
    }
    return perf;
}

int perf_open(struct perf * perf, int tid, int on_exec, const char * enter_filter,
              const char * exit_filter) {
    perf->settings.enter_filter = enter_filter;
    perf->settings.exit_filter = exit_filter;
    int error = perf_open_task(perf, tid, on_exec != 0);
    if (!error && perf->calls) {
        error = calls_add(perf->calls, tid, on_exec != 0);
    }
    return error == -EEXIST ? 0 : error; /* Its parent was followed when it was born. */
}

int perf_follow(struct perf * perf, int tid) {
    return calls_add(perf->calls, tid, false);
}

int perf_calls(struct perf * perf, uint32_t ring_bytes) {
    int error = 0;
    perf->calls = calls_open(&perf->sink, &perf->tasks, &perf->selection, ring_bytes, &error);
    return error;
}

static void switch_all(struct perf * perf, unsigned long request) {
    for (uint32_t i = 0; i < perf->fd_count; i++) {
        ioctl(perf->fds[i], request, 0);
    }
}

/* Waits until a ring has filled up a quarter or time has passed; false when every thread has ended.
 */
static bool await_events(struct perf * perf, struct pollfd * polls) {
    int alive = 0;
    for (int i = 0; i < perf->ring_count; i++) {
        struct perf_ring * ring = &perf->rings[i];
        polls[i].fd = ring->page && !ring->hung_up ? ring->fd : -1;
        polls[i].events = POLLIN;
        polls[i].revents = 0;
        alive += polls[i].fd >= 0;
    }
    /* An attached program's rings belong to its first thread, and others may outlive that one. */
    if (!alive && (!perf->watched || !task_process_lives(perf->watched))) {
        return false;
    }
    poll(polls, (nfds_t) perf->ring_count, perf->calls ? POLL_CALLS_MS : POLL_MS);
    for (int i = 0; i < perf->ring_count; i++) {
        if (polls[i].revents & (POLLHUP | POLLERR)) {
            perf->rings[i].hung_up = true;
        }
    }
    return true;
}

static void * perf_thread(void * data) {
    struct perf * perf = data;
    struct pollfd * polls = calloc((size_t) perf->ring_count, sizeof *polls);
    /* The reader must come round before a ring is full, however busy the program is. */
    setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid), EAGER);
    while (polls && !atomic_load(&perf->stopping) && await_events(perf, polls)) {
        perf_drain(perf);
    }
    switch_all(perf, PERF_EVENT_IOC_DISABLE);
    if (perf->calls) {
        calls_detach(perf->calls, atomic_load(&perf->stopping));
    }
    perf_watch_end(perf);
    perf_drain(perf);
    perf_flush(perf);
    free(polls);
    atomic_store(&perf->done, true);
    sink_finish(&perf->sink);
    return NULL;
}

int perf_start(struct perf * perf, int enable, int watched) {
    sigset_t all, old;
    perf->watched = watched;
    if (enable) {
        switch_all(perf, PERF_EVENT_IOC_ENABLE);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&perf->thread, NULL, perf_thread, perf);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    perf->thread_started = !error;
    return -error;
}

struct sink_block * perf_take(struct perf * perf, int timeout_ms) {
    return sink_take(&perf->sink, timeout_ms);
}

void perf_give_back(struct perf * perf, struct sink_block * block) {
    sink_give_back(&perf->sink, block);
}

void perf_stop(struct perf * perf) {
    atomic_store(&perf->stopping, true);
}

int perf_running(struct perf * perf) {
    return perf->thread_started;
}

int perf_done(struct perf * perf) {
    return atomic_load(&perf->done);
}

uint64_t perf_lost(struct perf * perf) {
    return atomic_load(&perf->lost) + perf->sink.lost;
}

uint64_t perf_drained(struct perf * perf) {
    return atomic_load(&perf->drained);
}

void perf_free(struct perf * perf) {
    if (!perf) {
        return;
    }
    perf_stop(perf);
    sink_abandon(&perf->sink);
    if (perf->thread_started) {
        pthread_join(perf->thread, NULL);
    }
    for (int i = 0; i < perf->ring_count; i++) {
        if (perf->rings[i].page) {
            munmap(perf->rings[i].page, perf->rings[i].ring.size + (size_t) sysconf(_SC_PAGESIZE));
        }
    }
    for (uint32_t i = 0; i < perf->fd_count; i++) {
        close(perf->fds[i]);
    }
    calls_close(perf->calls);
    perf_watch_close(perf);
    points_free(perf->points);
    task_clear(&perf->tasks);
    sink_close(&perf->sink);
    free(perf->rings);
    free(perf->fds);
    free(perf->major_ids);
    free(perf);
}
