/* The perf recorder: one ring of kernel events per CPU, joined into records by one thread. */
#ifndef LLAMACTL_PERF_H
#define LLAMACTL_PERF_H

#include <linux/perf_event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tracer_sink.h"
#include "tracer_tasks.h"

struct perf_ring {
    int fd;
    struct perf_event_mmap_page * page;
    uint8_t * data;
    uint64_t size;
    uint64_t position; /* how far it has been read */
    uint64_t must;     /* read at least up to here */
    uint64_t may;      /* read at most up to here */
    uint64_t next_time;
    bool hung_up;
};

struct perf_settings {
    int enter_id; /* tracepoints' ids; 0: no system calls */
    int exit_id;
    const char * enter_filter; /* a tracepoint filter; "" for none */
    const char * exit_filter;
    int faults;
    int tasks;           /* record births and deaths */
    uint32_t ring_bytes; /* a power of two */
};

struct perf {
    struct sink sink;
    struct task_table tasks;
    struct perf_settings settings;
    bool everything;
    uint8_t selected[SELECT_BYTES];
    struct perf_ring * rings;
    int ring_count;
    int * fds;
    uint32_t fd_count;
    uint32_t fd_room;
    uint64_t * major_ids;
    uint32_t major_count;
    uint32_t major_room;
    pthread_t thread;
    bool thread_started;
    pid_t watched; /* the process attached to, 0 for none */
    atomic_bool stopping;
    atomic_bool done;
    atomic_ullong lost;
    atomic_ullong drained; /* every event before this time has been taken from the rings */
    int stage;
};

/* Opens one thread's events on all CPUs; 0, or -errno with perf->stage set. */
int perf_open_task(struct perf * perf, pid_t tid, bool on_exec);
bool perf_is_major(const struct perf * perf, uint64_t id);
void perf_drain(struct perf * perf);
/* Records the calls that never returned. */
void perf_flush(struct perf * perf);
/* Turns one event of a ring into records. */
void perf_event(struct perf * perf, const struct perf_event_header * event);
uint64_t perf_event_time(const struct perf_event_header * event);

#endif
