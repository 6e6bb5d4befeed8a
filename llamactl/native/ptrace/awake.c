/* Wait for the next stop without letting the CPUs fall asleep (awake.h). */
#define _GNU_SOURCE
#include "ptrace/awake.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define KEEP_NS 3000000u
#define LOOK_NS 20000u
#define CLOSE_NS 1000000 /* stops follow each other closely: mean of the last ones */
#define MEAN_OF 16
#define LONGEST_GAP_NS 3000000 /* a longer one counts as this: one pause isn't a pace */
#define PAUSES 16
#define LEAST_PRIORITY 19
#define HIGHEST_SCORE 16
#define HIT_SCORE 2
#define RARELY 32

static atomic_bool allowed = true;

void awake_allow(int allow) {
    atomic_store(&allowed, allow != 0);
}

static void pause_briefly(void) {
    for (int i = 0; i < PAUSES; i++) {
#if defined(__x86_64__)
        __asm__ volatile("pause");
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

static void * keep(void * data) {
    struct awake * awake = data;
    /* Not SCHED_IDLE: the scheduler takes such a CPU for an idle one and moves the program there at
     * each stop, away from its caches. At this priority it gets 1.5 % of a CPU that others want. */
    if (setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid), LEAST_PRIORITY) != 0) {
        return NULL;
    }
    while (!atomic_load_explicit(&awake->ending, memory_order_relaxed)) {
        if (now_ns() < atomic_load_explicit(&awake->until, memory_order_relaxed)) {
            pause_briefly();
            continue;
        }
        atomic_store(&awake->asleep, 1);
        if (!atomic_load(&awake->ending)) {
            syscall(SYS_futex, &awake->asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
        }
    }
    return NULL;
}

static void wake_keeper(struct awake * awake) {
    atomic_store(&awake->asleep, 0);
    syscall(SYS_futex, &awake->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void awake_begin(struct awake * awake) {
    cpu_set_t cpus;
    sigset_t all, before;
    if (!atomic_load(&allowed) || sched_getaffinity(0, sizeof cpus, &cpus) != 0 ||
        CPU_COUNT(&cpus) < 2) {
        return;
    }
    awake->score = HIGHEST_SCORE;
    awake->gap = LONGEST_GAP_NS;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    awake->running = pthread_create(&awake->keeper, NULL, keep, awake) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void awake_end(struct awake * awake) {
    if (awake->running) {
        atomic_store(&awake->ending, 1);
        wake_keeper(awake);
        pthread_join(awake->keeper, NULL);
        awake->running = false;
    }
}

static void stopped(struct awake * awake) {
    uint64_t now = now_ns();
    int64_t gap = (int64_t) (now - awake->last);
    gap = gap < LONGEST_GAP_NS ? gap : LONGEST_GAP_NS;
    awake->last = now;
    awake->gap += (gap - awake->gap) / MEAN_OF;
    if (!awake->running || awake->gap > CLOSE_NS) {
        return;
    }
    atomic_store_explicit(&awake->until, now + KEEP_NS, memory_order_relaxed);
    if (atomic_load_explicit(&awake->asleep, memory_order_relaxed)) {
        wake_keeper(awake);
    }
}

/* Looks for a stop; 0 when none came, or a request did. Where all CPUs are busy, the program may be
 * waiting for this one: unless a third of the looks find something, it is tried rarely. */
static pid_t look(struct awake * awake, int * status, const atomic_int * request) {
    if (!awake->score && ++awake->passed % RARELY) {
        return 0;
    }
    uint64_t end = now_ns() + LOOK_NS;
    do {
        pid_t tid = waitpid(-1, status, __WALL | __WNOTHREAD | WNOHANG);
        if (tid) {
            awake->score += HIT_SCORE;
            awake->score = awake->score < HIGHEST_SCORE ? awake->score : HIGHEST_SCORE;
            return tid;
        }
        pause_briefly();
    } while (now_ns() < end && !(request && atomic_load(request)));
    awake->score -= awake->score > 0;
    return 0;
}

pid_t awake_wait(struct awake * awake, int * status, const atomic_int * request) {
    pid_t tid = awake->running ? look(awake, status, request) : 0;
    if (!tid) {
        tid = waitpid(-1, status, __WALL | __WNOTHREAD);
    }
    stopped(awake);
    return tid;
}

struct awake * awake_new(void) {
    struct awake * awake = calloc(1, sizeof *awake);
    if (awake) {
        awake_begin(awake);
    }
    return awake;
}

void awake_free(struct awake * awake) {
    awake_end(awake);
    free(awake);
}

int awake_next(struct awake * awake, int * status) {
    pid_t tid = awake_wait(awake, status, NULL);
    return tid < 0 ? -errno : tid;
}
