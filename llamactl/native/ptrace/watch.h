/* Buffers that are watched from the moment on at which they are handed out. */
#ifndef LLAMACTL_TRACER_WATCH_H
#define LLAMACTL_TRACER_WATCH_H

#include <pthread.h>

#include "calls/handed_out.h"
#include "ptrace/tracer.h"

struct watching {
    struct perf * perf; /* NULL: the debug registers are set by ptrace */
    pid_t process;      /* whose buffers: the first process that asked */
    pthread_mutex_t lock;
    struct handing handing; /* what calls caught by breakpoints have said */
    struct watch_state buffers[BUFFER_COUNT];
    int second;         /* which buffer besides the logits; 0: none yet */
    uint32_t elsewhere; /* buffers of other processes, which aren't watched */
    uint32_t * asks;    /* the agent asks while this isn't 0; NULL: there is no agent */
    bool filtered;      /* the program has a seccomp filter of its own and isn't asked any more */
    uint32_t touches;   /* stop watching after so many; 0: never */
    uint64_t until_ns;
    char * maps; /* /proc/PID/maps at the first time */
    uint32_t maps_bytes;
};

/* True when a system call was the agent's, to say where a buffer is. */
bool watch_asked(struct tracer * tracer, struct task * task, uint64_t nr, const uint64_t * args);
/* The same from a call that a breakpoint has caught, as it returns. */
void watch_returned(struct tracer * tracer, struct task * task, int role,
                    const struct record * call);
/* Counts a touch seen by ptrace. */
void watch_touched(struct tracer * tracer, uint64_t now);
/* Watch no more; threads hear of it at their next stop. */
void watch_end(struct tracer * tracer);
void watch_free(struct watching * watching);

#endif
