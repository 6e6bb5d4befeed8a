/* Watch a buffer from the moment on at which llama.cpp hands it out: the thread that got its
 * address waits in a stop until the watchpoints are set. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "breakpoint/breakpoint.h"
#include "breakpoint/buffers.h"
#include "common/clock.h"
#include "perf/perf.h"

#define MAPS_STEP (64u << 10)

/* The mappings, read while the program waits: it may have ended before Python looks at them. */
static void keep_maps(struct watching * w) {
    char path[64];
    uint32_t room = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int) w->process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t got = 1; fd >= 0 && got > 0;) {
        if (room - w->maps_bytes < MAPS_STEP) {
            char * maps = realloc(w->maps, room += 4 * MAPS_STEP);
            if (!maps) {
                break;
            }
            w->maps = maps;
        }
        got = read(fd, w->maps + w->maps_bytes, room - w->maps_bytes);
        w->maps_bytes += got > 0 ? (uint32_t) got : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int place(struct program * program, const struct task * task, int which, uint64_t address,
                 bool again) {
    struct watching * w = program->watching;
    if (w->perf) {
        return again ? perf_watch_move(w->perf, which, address)
                     : perf_watch_process(w->perf, task->pid, task->tid, which, address);
    }
    /* The first two registers are the logits', the others whatever comes next. */
    int place = which < 2 ? which : 2 + which % 2;
    w->watched_as[place] = (uint8_t) which;
    atomic_store(&w->watched[place], address);
    atomic_fetch_add(&w->watch_version, 1);
    return 0;
}

/* A processor has four debug registers: besides the logits one more buffer can be watched. */
static bool has_registers(struct watching * w, int buffer) {
    if (buffer != BUFFER_LOGITS && !w->second) {
        w->second = buffer;
    }
    return buffer == BUFFER_LOGITS || w->second == buffer;
}

static int watch_both_ends(struct program * program, const struct task * task, int buffer,
                           uint64_t address, uint64_t bytes) {
    struct watch_state * state = &program->watching->buffers[buffer];
    uint64_t last = bytes > FLOAT_SIZE ? (address + bytes - FLOAT_SIZE) & ~3ull : 0;
    int error = 0;
    if (address != state->address) {
        error = place(program, task, 2 * buffer, address & ~3ull, state->address != 0);
    }
    if (!error && last) {
        error = place(program, task, 2 * buffer + 1, last, state->last_watched);
        state->last_watched = !error;
    }
    return error;
}

static void arm(struct program * program, struct task * task, int buffer, uint64_t address,
                uint64_t bytes) {
    struct watching * w = program->watching;
    struct watch_state * state = &w->buffers[buffer];
    if (w->perf ? perf_watch_until(w->perf) : w->until_ns) {
        return; /* Enough has been seen. */
    }
    if (!w->process) {
        w->process = task->pid;
        keep_maps(w);
    }
    if (task->pid != w->process) {
        w->elsewhere++;
        return;
    }
    int error =
        has_registers(w, buffer) ? watch_both_ends(program, task, buffer, address, bytes) : -ENOSPC;
    pthread_mutex_lock(&w->lock);
    state->error = error;
    state->moves += state->address && state->address != address;
    state->address = address;
    state->bytes = bytes;
    pthread_mutex_unlock(&w->lock);
    breakpoint_watch_thread(program, task);
    state->since_ns = state->since_ns ? state->since_ns : now_ns();
}

/* A filter of the program's own may end it for a call that doesn't exist, so it isn't asked any
 * more. */
static void note_filter(struct watching * w, uint64_t nr, const uint64_t * args) {
    bool filters = nr == SYS_seccomp || (nr == SYS_prctl && args[0] == PR_SET_SECCOMP);
    if (filters && w->asks) {
        __atomic_store_n(w->asks, 0, __ATOMIC_SEQ_CST);
        w->filtered = true;
    }
}

bool watch_asked(struct program * program, struct task * task, uint64_t nr, const uint64_t * args) {
    if (program->watching) {
        note_filter(program->watching, nr, args);
    }
    if (nr != WATCH_CALL || args[0] != WATCH_MAGIC || !program->watching) {
        return false;
    }
    if (program->recording && args[1] < BUFFER_COUNT) {
        arm(program, task, (int) args[1], args[2], args[3]);
    }
    return true;
}

void watch_returned(struct program * program, struct task * task, int role,
                    const struct record * call) {
    struct watching * w = program->watching;
    int which = w ? handing_learn(&w->handing, role, call->ret, call->args[1]) : -1;
    if (which >= 0 && program->recording) {
        arm(program, task, which, w->handing.buffers[which].address,
            w->handing.buffers[which].bytes);
    }
}

void watch_end(struct program * program) {
    struct watching * w = program->watching;
    if (!w) {
        return;
    }
    if (w->perf) {
        perf_watch_end(w->perf);
    }
    for (int i = 0; i < WATCHES; i++) {
        atomic_store(&w->watched[i], 0);
    }
    if (atomic_load(&w->watch_version)) {
        atomic_fetch_add(&w->watch_version, 1);
    }
}

void watch_touched(struct program * program, uint64_t now) {
    struct watching * w = program->watching;
    if (w && w->touches && !--w->touches) {
        watch_end(program);
        w->until_ns = now;
    }
}

void watch_free(struct watching * w) {
    if (w) {
        pthread_mutex_destroy(&w->lock);
        free(w->maps);
        free(w);
    }
}

int program_watch(struct program * program, struct perf * perf, uint32_t touches, uint32_t * asks) {
    struct watching * w = calloc(1, sizeof *w);
    if (!w) {
        return ENOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    w->perf = perf;
    w->touches = touches;
    w->asks = asks;
    if (perf) {
        perf_watch_limit(perf, touches);
    }
    program->watching = w;
    return 0;
}

/* A filter that we inherited (systemd, a container) is the program's as well: a child tries it. */
int watch_ask_allowed(void) {
    int status = 0;
    if (prctl(PR_GET_SECCOMP) == 0) {
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        syscall(WATCH_CALL, 0);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
}

int program_watch_state(struct program * program, int buffer, struct watch_state * state) {
    struct watching * w = program->watching;
    if (!w || buffer < 0 || buffer >= BUFFER_COUNT) {
        return 0;
    }
    pthread_mutex_lock(&w->lock);
    *state = w->buffers[buffer];
    pthread_mutex_unlock(&w->lock);
    state->process = w->process;
    state->until_ns = w->perf ? perf_watch_until(w->perf) : w->until_ns;
    state->elsewhere = w->elsewhere;
    state->filtered = w->filtered;
    if (!w->perf && atomic_load(&w->watch_refused)) {
        state->error = -EINVAL;
    }
    return state->address != 0;
}

const char * program_watch_maps(struct program * program, uint32_t * bytes) {
    struct watching * w = program->watching;
    *bytes = w && w->process ? w->maps_bytes : 0;
    return w ? w->maps : NULL;
}
