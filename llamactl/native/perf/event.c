/* Turn kernel events into records; the entry and the exit of a system call become one. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>

#include "bpf/calls.h"
#include "perf/perf.h"
#include "common/clock.h"

/* What sample_id_all puts at the end of every other event. */
struct trailer {
    uint32_t pid, tid;
    uint64_t time;
    uint32_t cpu, reserved;
    uint64_t identifier;
};

/* The tracepoints raw_syscalls:sys_enter and sys_exit; raw data lies at an odd multiple of 4. */
struct __attribute__((packed)) raw_call {
    uint16_t type;
    uint8_t flags, preempt_count;
    int32_t pid;
    int64_t nr;
    uint64_t values[6]; /* the arguments, or the result alone */
};

struct task_event {
    struct perf_event_header header;
    uint32_t pid, ppid, tid, ptid;
    uint64_t time;
};
struct comm_event {
    struct perf_event_header header;
    uint32_t pid, tid;
    char name[];
};
struct lost_event {
    struct perf_event_header header;
    uint64_t id, lost;
};
struct map_event {
    struct perf_event_header header;
    uint32_t pid, tid;
    uint64_t address, length, offset;
    uint32_t major, minor;
    uint64_t inode, generation;
    uint32_t protection, flags;
    char file[];
};

static const struct trailer * trailer_of(const struct perf_event_header * event) {
    return (const void *) ((const uint8_t *) event + event->size - sizeof(struct trailer));
}

uint64_t perf_event_time(const struct perf_event_header * event) {
    return event->type == PERF_RECORD_SAMPLE ? ((const struct sample *) event)->time
                                             : trailer_of(event)->time;
}

static void put_call(struct perf * perf, struct task * task, int64_t ret, uint64_t end) {
    task->in_call = false;
    if (!selects(&perf->selection, task->nr)) {
        return; /* The kernel's filter was too short to say all. */
    }
    struct record record = record_of(RECORD_SYSCALL, task->tid, task->pid, task->start, task->cpu);
    record.flags = task->flags;
    record.nr = task->nr;
    record.duration = end - task->start;
    record.ret = ret;
    memcpy(record.args, task->args, sizeof record.args);
    sink_put(&perf->sink, &record, NULL, NULL);
}

static void enter(struct perf * perf, struct task * task, const struct sample * sample,
                  const struct raw_call * raw) {
    if (task->in_call) { /* Its exit was lost, or it is one that has none. */
        task->flags |= FLAG_NO_EXIT;
        put_call(perf, task, 0, task->start);
    }
    task->in_call = true;
    task->pid = (pid_t) sample->pid;
    task->flags = 0;
    task->nr = raw->nr >= 0 && raw->nr < RECORD_NR_UNKNOWN ? (uint16_t) raw->nr : RECORD_NR_UNKNOWN;
    task->cpu = (uint16_t) sample->cpu;
    task->start = sample->time;
    memcpy(task->args, raw->values, sizeof task->args);
}

static void leave(struct perf * perf, struct task * task, const struct sample * sample,
                  const struct raw_call * raw) {
    int64_t ret = (int64_t) raw->values[0];
    /* rt_sigreturn leaves with the number -1, since it has restored all registers. */
    if (task->in_call && raw->nr >= 0 && raw->nr != task->nr) {
        task->flags |= FLAG_NO_EXIT;
        put_call(perf, task, 0, task->start);
    }
    if (!task->in_call) {
        if (raw->nr < 0 || (is_birth(raw->nr) && ret == 0)) {
            return; /* The first thing a new thread does is to come out of its parent's clone. */
        }
        enter(perf, task, sample, raw);
        memset(task->args, 0, sizeof task->args);
        task->flags = FLAG_NO_ENTRY;
    }
    put_call(perf, task, ret, sample->time);
}

static void on_sample(struct perf * perf, const struct sample * sample) {
    const struct raw_call * raw = (const void *) sample->raw;
    if (perf_on_boundary(perf, sample)) {
        return;
    }
    if (sample->raw_size < 24) { /* A software event has no raw data. */
        struct record record = record_of(RECORD_FAULT, (int32_t) sample->tid, (int32_t) sample->pid,
                                         sample->time, sample->cpu);
        record.nr = perf_is_major(perf, sample->identifier);
        record.args[0] = sample->address;
        record.args[1] = sample->ip;
        sink_put(&perf->sink, &record, NULL, NULL);
        return;
    }
    struct task * task = task_get(&perf->tasks, (pid_t) sample->tid);
    if (!task) {
        atomic_fetch_add(&perf->lost, 1);
    } else if (raw->type == perf->settings.enter_id) {
        enter(perf, task, sample, raw);
    } else {
        leave(perf, task, sample, raw);
    }
}

/* A string of an event: it ends with a NUL, but the event is padded. */
static struct sink_text text_of(const char * string, const void * end) {
    struct sink_text text = {(uint8_t *) (uintptr_t) string, 0, 0};
    const uint8_t * nul =
        memchr(string, 0, (size_t) ((const uint8_t *) end - (const uint8_t *) string));
    text.length = nul ? (uint32_t) (nul - text.bytes) : 0;
    return text;
}

static void on_map(struct perf * perf, const struct map_event * map) {
    const struct trailer * trailer = trailer_of(&map->header);
    struct record record =
        record_of(RECORD_MAP, (int32_t) map->tid, (int32_t) map->pid, trailer->time, trailer->cpu);
    struct sink_text file = text_of(map->file, trailer);
    record.nr = (uint16_t) map->protection;
    record.args[0] = map->address;
    record.args[1] = map->length;
    record.args[2] = map->offset;
    record.args[3] = map->inode;
    record.args[4] = map->flags;
    record.args[5] = (uint64_t) map->major << 32 | map->minor;
    sink_put(&perf->sink, &record, &file, NULL);
}

static void on_comm(struct perf * perf, const struct comm_event * comm) {
    const struct trailer * trailer = trailer_of(&comm->header);
    struct record record = record_of(RECORD_TASK, (int32_t) comm->tid, (int32_t) comm->pid,
                                     trailer->time, trailer->cpu);
    struct sink_text name = text_of(comm->name, trailer);
    bool exec = comm->header.misc & PERF_RECORD_MISC_COMM_EXEC;
    record.nr = exec && perf->settings.tasks ? TASK_EXEC : TASK_NAME;
    record.args[0] = exec ? comm->tid : 0;
    sink_put(&perf->sink, &record, &name, NULL);
}

static void on_birth(struct perf * perf, const struct task_event * birth) {
    struct record record = record_of(RECORD_TASK, (int32_t) birth->ptid, (int32_t) birth->ppid,
                                     birth->time, trailer_of(&birth->header)->cpu);
    record.nr = birth->pid == birth->ppid ? TASK_CLONE : TASK_FORK;
    record.args[0] = birth->tid;
    record.args[1] = birth->pid;
    if (perf->settings.tasks) {
        sink_put(&perf->sink, &record, NULL, NULL);
    }
}

static void on_death(struct perf * perf, const struct task_event * death) {
    struct task * task = task_find(&perf->tasks, (pid_t) death->tid);
    if (task) {
        perf_calls_lost(perf, task);
        if (task->in_call) {
            task->flags |= FLAG_NO_EXIT;
            put_call(perf, task, 0, task->start);
        }
        task_remove(&perf->tasks, task->tid);
    }
    struct record record = record_of(RECORD_TASK, (int32_t) death->tid, (int32_t) death->pid,
                                     death->time, trailer_of(&death->header)->cpu);
    record.nr = TASK_EXIT;
    record.flags = FLAG_NO_EXIT; /* The kernel doesn't say the status here. */
    if (perf->settings.tasks) {
        sink_put(&perf->sink, &record, NULL, NULL);
    }
}

static void put_lost(struct perf * perf, uint64_t count, uint64_t time, uint32_t cpu) {
    struct record record = record_of(RECORD_LOST, 0, 0, time, cpu);
    record.ret = (int64_t) count;
    atomic_fetch_add(&perf->lost, count);
    sink_put(&perf->sink, &record, NULL, NULL);
}

static void on_lost(struct perf * perf, const struct lost_event * lost) {
    const struct trailer * trailer = trailer_of(&lost->header);
    put_lost(perf, lost->lost, trailer->time, trailer->cpu);
}

void perf_lose(struct perf * perf, uint64_t count) {
    put_lost(perf, count, now_ns(), RECORD_CPU_UNKNOWN);
}

void perf_event(struct perf * perf, const struct perf_event_header * event) {
    switch (event->type) {
    case PERF_RECORD_SAMPLE:
        on_sample(perf, (const void *) event);
        break;
    case PERF_RECORD_MMAP2:
        on_map(perf, (const void *) event);
        break;
    case PERF_RECORD_COMM:
        on_comm(perf, (const void *) event);
        break;
    case PERF_RECORD_FORK:
        on_birth(perf, (const void *) event);
        break;
    case PERF_RECORD_EXIT:
        on_death(perf, (const void *) event);
        break;
    case PERF_RECORD_LOST:
        on_lost(perf, (const void *) event);
        break;
    default:
        break;
    }
}

static void flush_task(struct task * task, void * data) {
    struct perf * perf = data;
    if (task->in_call) {
        task->flags |= FLAG_NO_EXIT;
        put_call(perf, task, 0, task->start);
    }
    perf_calls_lost(perf, task);
    task_remove(&perf->tasks, task->tid);
}

void perf_flush(struct perf * perf) {
    sink_begin(&perf->sink);
    if (perf->calls) {
        calls_flush(perf->calls);
    }
    task_each(&perf->tasks, flush_task, perf);
    sink_end(&perf->sink);
}
