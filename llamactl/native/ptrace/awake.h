/* Keep a CPU from falling asleep between the stops of a traced program. */
#ifndef LLAMACTL_TRACER_AWAKE_H
#define LLAMACTL_TRACER_AWAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* At every stop one of two CPUs has nothing to do for some microseconds: the program's while the
 * tracer works, the tracer's while the program does. To wake a CPU that has fallen asleep costs 20
 * to 100 us, several times the stop itself. So while stops follow each other closely, the tracer
 * looks for the next one for a moment before it sleeps, and a thread of the least priority spins.
 */
struct awake {
    pthread_t keeper;
    bool running;
    uint64_t last;       /* when the last stop was seen */
    int64_t gap;         /* ns between stops, a moving mean */
    uint32_t score;      /* how well looking has paid off lately */
    uint32_t passed;     /* looks left out since it doesn't */
    atomic_ullong until; /* how long the keeper spins, CLOCK_MONOTONIC in ns */
    atomic_int asleep;   /* a futex */
    atomic_int ending;
};

/* Does nothing where there is only one CPU to run on. */
void awake_begin(struct awake * awake);
void awake_end(struct awake * awake);
/* waitpid(-1, status, __WALL | __WNOTHREAD), which looks for a moment before it sleeps, and not
 * once there is a request (NULL: never); 0 is never returned. */
pid_t awake_wait(struct awake * awake, int * status, const atomic_int * request);

#endif
