/* Let Python look at a program that has new code, while it waits: after exec, and when its dynamic
 * linker has loaded or unloaded libraries. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "breakpoint/breakpoint.h"
#include "ptrace/api.h"

#define STEP_MS 50

struct look {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wanted;  /* 0 nothing, 1 libraries, 2 a new program */
    bool nobody; /* looks any more */
};

static struct timespec after_ms(int ms) {
    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_nsec += (long) (ms % 1000) * 1000000;
    when.tv_sec += ms / 1000 + when.tv_nsec / 1000000000;
    when.tv_nsec %= 1000000000;
    return when;
}

/* A request to let the program go or to end it comes first: then the looking may stay undone. */
static void ask(struct tracer * tracer, int what) {
    struct look * look = tracer->look;
    if (!look || tracer->detaching || tracer->passing || tracer->killing) {
        return;
    }
    pthread_mutex_lock(&look->lock);
    look->wanted = look->nobody ? 0 : what;
    pthread_cond_broadcast(&look->changed);
    while (look->wanted && !atomic_load(&tracer->request)) {
        struct timespec until = after_ms(STEP_MS);
        pthread_cond_timedwait(&look->changed, &look->lock, &until);
    }
    bool looked = !look->wanted && !look->nobody;
    look->wanted = 0;
    if (looked) {
        int error = breakpoints_arm(tracer);
        tracer->boundary_error = error ? error : tracer->boundary_error;
    }
    pthread_mutex_unlock(&look->lock);
}

void breakpoint_look(struct tracer * tracer) {
    ask(tracer, 1);
}

void look_executed(struct tracer * tracer) {
    ask(tracer, 2);
}

void look_free(struct look * look) {
    if (look) {
        pthread_cond_destroy(&look->changed);
        pthread_mutex_destroy(&look->lock);
        free(look);
    }
}

void tracer_looks(struct tracer * tracer) {
    tracer->look = calloc(1, sizeof *tracer->look);
    if (tracer->look) {
        pthread_mutex_init(&tracer->look->lock, NULL);
        pthread_cond_init(&tracer->look->changed, NULL);
    }
}

int tracer_look(struct tracer * tracer, int timeout_ms) {
    struct look * look = tracer->look;
    struct timespec until = after_ms(timeout_ms);
    if (!look || atomic_load(&tracer->done)) {
        return -1;
    }
    pthread_mutex_lock(&look->lock);
    for (int error = 0; !look->wanted && error != ETIMEDOUT;) {
        error = pthread_cond_timedwait(&look->changed, &look->lock, &until);
    }
    int wanted = look->wanted;
    pthread_mutex_unlock(&look->lock);
    return wanted;
}

void tracer_looked(struct tracer * tracer) {
    pthread_mutex_lock(&tracer->look->lock);
    tracer->look->wanted = 0;
    pthread_cond_broadcast(&tracer->look->changed);
    pthread_mutex_unlock(&tracer->look->lock);
}

void tracer_looks_no_more(struct tracer * tracer) {
    pthread_mutex_lock(&tracer->look->lock);
    tracer->look->nobody = true;
    tracer->look->wanted = 0;
    pthread_cond_broadcast(&tracer->look->changed);
    pthread_mutex_unlock(&tracer->look->lock);
}
