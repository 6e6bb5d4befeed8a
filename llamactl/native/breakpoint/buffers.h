/* Buffers that are watched from the moment on at which they are handed out. */
#ifndef LLAMACTL_BREAKPOINT_BUFFERS_H
#define LLAMACTL_BREAKPOINT_BUFFERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "breakpoint/api.h"
#include "calls/handed_out.h"
#include "common/program.h"

#define WATCHES 4 /* the first and the last float of two buffers */

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
    atomic_ullong watched[WATCHES]; /* addresses in the debug registers; 0: none */
    uint8_t watched_as[WATCHES];    /* the records' nr */
    atomic_uint watch_version;      /* 0: nothing was ever watched */
    atomic_int watch_refused;
};

/* True when a system call was the agent's, to say where a buffer is. */
bool watch_asked(struct program * program, struct task * task, uint64_t nr, const uint64_t * args);
/* The same from a call that a breakpoint has caught, as it returns. */
void watch_returned(struct program * program, struct task * task, int role,
                    const struct record * call);
/* Counts a touch seen by ptrace. */
void watch_touched(struct program * program, uint64_t now);
/* Watch no more; threads hear of it at their next stop. */
void watch_end(struct program * program);
void watch_free(struct watching * watching);

#endif
