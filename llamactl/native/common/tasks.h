/* The threads being traced, by thread id. */
#ifndef LLAMACTL_TRACER_TASKS_H
#define LLAMACTL_TRACER_TASKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/sink.h"

#define TASK_BUCKETS 4096

struct text_rule;
struct frames;

/* One thread, and the system call it is in. */
struct task {
    struct task * next;
    pid_t tid;
    pid_t pid;
    bool in_call;
    bool listening; /* in a group-stop, left there with PTRACE_LISTEN */
    bool wanted;    /* the call it is in is selected */
    uint8_t flags;
    uint16_t nr;
    uint16_t arch;
    uint16_t cpu;
    uint64_t start;
    uint64_t args[6];
    const struct text_rule * rule;
    struct frames * frames; /* calls caught by breakpoints or uprobes (calls/points.h) */
    unsigned watch_version; /* what its debug registers hold (breakpoint/registers.c); 0: nothing */
    bool known;             /* its memory has been looked at (breakpoint_newcomer) */
    bool foreign;           /* a process with memory of its own, without breakpoints */
    struct sink_text text[2];
};

struct task_table {
    struct task * buckets[TASK_BUCKETS];
    uint32_t count;
};

struct task * task_find(const struct task_table * table, pid_t tid);
/* Finds the task or adds it; NULL when memory is short. A new task's pid is 0. */
struct task * task_get(struct task_table * table, pid_t tid);
void task_remove(struct task_table * table, pid_t tid);
void task_clear(struct task_table * table);
/* Calls visit for every task; visit may remove the task it is given. */
void task_each(struct task_table * table, void (*visit)(struct task * task, void * data),
               void * data);
/* The process a thread belongs to, from /proc; the thread itself where that can't be read. */
pid_t task_process_of(pid_t tid);
/* Whether a thread of the process is left; the first may have ended before the others. */
bool task_process_lives(pid_t pid);
/* Reads the thread's name; false when it is gone. */
bool task_name_of(pid_t tid, struct sink_text * text);
/* Makes room for `room` bytes; false when memory is short. */
bool text_reserve(struct sink_text * text, uint32_t room);

#endif
