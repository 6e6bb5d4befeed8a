/* The perf recorder: one ring of kernel events per CPU, joined into records by one thread. */
#ifndef LLAMACTL_PERF_H
#define LLAMACTL_PERF_H

#include <linux/perf_event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/ring.h"
#include "common/selection.h"
#include "common/sink.h"
#include "common/tasks.h"
#include "perf/api.h"

struct perf_ring {
    struct ring ring;
    int fd;
    struct perf_event_mmap_page * page; /* NULL: the CPU is offline */
    bool hung_up;
};
extern const struct ring_kind perf_ring_kind;

#define SAMPLE                                                                                     \
    (PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME |                \
     PERF_SAMPLE_ADDR | PERF_SAMPLE_CPU | PERF_SAMPLE_RAW)

/* PERF_RECORD_SAMPLE with this sample_type. */
struct sample {
    struct perf_event_header header;
    uint64_t identifier;
    uint64_t ip;
    uint32_t pid, tid;
    uint64_t time;
    uint64_t address;
    uint32_t cpu, reserved;
    uint32_t raw_size;
    uint8_t raw[];
};

struct perf_settings {
    int enter_id; /* tracepoints' ids; 0: no system calls */
    int exit_id;
    const char * enter_filter; /* a tracepoint filter; "" for none */
    const char * exit_filter;
    int faults;
    int tasks;           /* record births and deaths */
    uint32_t ring_bytes; /* a power of two */
    int probe_enter_id;  /* tracepoints of our uprobes; 0: none */
    int probe_leave_id;
    bool boundary; /* calls and reads of buffers alone */
};

/* One watched address on one thread and CPU. */
struct watch {
    int fd;
    int which;
    uint64_t id;
};

struct call_tracing;

struct perf {
    struct sink sink;
    struct call_tracing * calls; /* system calls come from BPF programs (bpf/calls.h); NULL: not */
    struct task_table tasks;
    struct perf_settings settings;
    struct selection selection;
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
    struct points * points;
    uint32_t touches_left; /* of a limited number; 0: no limit, or reached */
    atomic_ullong touch_until;
    struct watch * watches; /* changed under watch_lock: Python adds, the thread looks up */
    uint32_t watch_count;
    uint32_t watch_room;
    pthread_mutex_t watch_lock;
    atomic_ullong inner; /* llama.cpp's calls to itself */
};

/* Opens one thread's events on all CPUs; 0 or -errno. */
int perf_open_task(struct perf * perf, pid_t tid, bool on_exec);
void perf_describe(const struct perf * perf, uint64_t sample_type, struct perf_event_attr * attr);
/* True when the sample was of a uprobe or a watched address. */
bool perf_on_boundary(struct perf * perf, const struct sample * sample);
/* Reports the calls that a task never returned from. */
void perf_calls_lost(struct perf * perf, struct task * task);
void perf_watch_close(struct perf * perf);
/* Watches an address on every thread of a process, so far as there are not too many; the first time
 * it starts the reading thread, too. 0 or -errno. */
int perf_watch_process(struct perf * perf, pid_t pid, pid_t tid, int which, uint64_t address);
/* Stop after so many touches; 0: never. */
void perf_watch_limit(struct perf * perf, uint32_t touches);
/* Counts a touch; false when the limit was reached before it. */
bool perf_watch_counts(struct perf * perf, uint64_t now);
void perf_watch_end(struct perf * perf);
uint64_t perf_watch_until(struct perf * perf);
bool perf_is_major(const struct perf * perf, uint64_t id);
void perf_drain(struct perf * perf);
/* Records the calls that never returned. */
void perf_flush(struct perf * perf);
/* Says that so much was lost by now. */
void perf_lose(struct perf * perf, uint64_t count);
/* Turns one event of a ring into records. */
void perf_event(struct perf * perf, const struct perf_event_header * event);
uint64_t perf_event_time(const struct perf_event_header * event);

#endif
