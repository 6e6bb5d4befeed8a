/* Let Python look at a program that has new code, while it waits: after exec, and when its dynamic
 * linker has loaded or unloaded libraries. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "breakpoint/breakpoint.h"

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
static void ask(struct program * program, int what) {
    struct look * look = program->look;
    if (!look || program->detaching || program->passing || program->killing) {
        return;
    }
    pthread_mutex_lock(&look->lock);
    look->wanted = look->nobody ? 0 : what;
    pthread_cond_broadcast(&look->changed);
    while (look->wanted && !atomic_load(&program->request)) {
        struct timespec until = after_ms(STEP_MS);
        pthread_cond_timedwait(&look->changed, &look->lock, &until);
    }
    bool looked = !look->wanted && !look->nobody;
    look->wanted = 0;
    if (looked) {
        int error = breakpoints_arm(program);
        program->boundary_error = error ? error : program->boundary_error;
    }
    pthread_mutex_unlock(&look->lock);
}

void breakpoint_look(struct program * program) {
    ask(program, 1);
}

void look_executed(struct program * program) {
    ask(program, 2);
}

void look_free(struct look * look) {
    if (look) {
        pthread_cond_destroy(&look->changed);
        pthread_mutex_destroy(&look->lock);
        free(look);
    }
}

void program_looks(struct program * program) {
    program->look = calloc(1, sizeof *program->look);
    if (program->look) {
        pthread_mutex_init(&program->look->lock, NULL);
        pthread_cond_init(&program->look->changed, NULL);
    }
}

int program_look(struct program * program, int timeout_ms) {
    struct look * look = program->look;
    struct timespec until = after_ms(timeout_ms);
    if (!look || atomic_load(&program->done)) {
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

void program_looked(struct program * program) {
    pthread_mutex_lock(&program->look->lock);
    program->look->wanted = 0;
    pthread_cond_broadcast(&program->look->changed);
    pthread_mutex_unlock(&program->look->lock);
}

void program_looks_no_more(struct program * program) {
    pthread_mutex_lock(&program->look->lock);
    program->look->nobody = true;
    program->look->wanted = 0;
    pthread_cond_broadcast(&program->look->changed);
    pthread_mutex_unlock(&program->look->lock);
}
