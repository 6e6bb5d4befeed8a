/* What Python calls: start, attach, take records, ask for an end. See tracer.cdef.h. */
#define _GNU_SOURCE
#include "breakpoint/breakpoint.h"
#include "ptrace/tracer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ptrace/api.h"
#include "common/texts.h"
#include "breakpoint/buffers.h"

#define HOLD_STEP_US 200
#define WAKE_STEP_US 1000

static void on_wake(int signal) {
    (void) signal;
}

/* The signal by which a request gets the thread out of waitpid; its handler does nothing. */
int tracer_wake_signal(void) {
    return SIGRTMAX - 2;
}

/* Every stop would send SIGCHLD, which queues up where it is blocked and wakes Python's main thread
 * each time: a third of the cost of a stop. waitpid needs none of them. */
static void silence_stops(void) {
    struct sigaction action;
    if (sigaction(SIGCHLD, NULL, &action) == 0) {
        action.sa_flags |= SA_NOCLDSTOP;
        sigaction(SIGCHLD, &action, NULL);
    }
}

void tracer_prepare_thread(void) {
    struct sigaction action;
    sigset_t wake;
    silence_stops();
    memset(&action, 0, sizeof action);
    action.sa_handler = on_wake;
    sigaction(tracer_wake_signal(), &action, NULL);
    sigemptyset(&wake);
    sigaddset(&wake, tracer_wake_signal());
    pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
}

static bool fail(struct tracer * tracer, int stage, int error) {
    tracer->stage = stage;
    tracer->error = error;
    atomic_store(&tracer->started, 2);
    return false;
}

static bool begin_launch(struct tracer * tracer) {
    if (!launch_fork(&tracer->launch, &tracer->old_mask, &tracer->child)) {
        return fail(tracer, STAGE_FORK, errno);
    }
    tracer->program.root = tracer->child.pid;
    if (!tracer_seize_child(tracer)) {
        int error = tracer->error;
        kill(tracer->program.root, SIGKILL);
        waitpid(tracer->program.root, NULL, __WALL);
        return fail(tracer, STAGE_SEIZE, error);
    }
    for (int one = 1; atomic_load(&tracer->hold);) {
        atomic_compare_exchange_strong(&tracer->hold, &one, 2);
        one = 1;
        usleep(HOLD_STEP_US);
    }
    if (!tracer->launch.path) {
        atomic_store(&tracer->started, 1);
        tracer->program.recording = true;
    }
    return write(tracer->child.gate, "", 1) == 1 || fail(tracer, STAGE_FORK, errno);
}

static bool begin_attach(struct tracer * tracer) {
    if (!tracer_seize_running(tracer)) {
        return fail(tracer, STAGE_SEIZE, tracer->error);
    }
    tracer->program.recording = true;
    tracer->program.boundary_error = breakpoints_arm(&tracer->program);
    atomic_store(&tracer->started, 1);
    return true;
}

/* Tasks are left when someone else in this process, as their parent, has waited for them. */
static void end_calls(struct task * task, void * data) {
    breakpoint_ended(data, task);
}

void * tracer_thread(void * data) {
    struct tracer * tracer = data;
    tracer_prepare_thread();
    if (tracer->attached ? begin_attach(tracer) : begin_launch(tracer)) {
        tracer_loop(tracer);
    }
    if (!tracer->attached) {
        int stage = STAGE_NONE, error = 0;
        if (launch_report(&tracer->child, &stage, &error, &tracer->loop_ns) &&
            stage != STAGE_NONE) {
            fail(tracer, stage, error);
        } else if (!atomic_load(&tracer->started)) {
            fail(tracer, STAGE_EXEC, 0);
        }
        launch_close(&tracer->child);
    }
    task_each(&tracer->program.tasks, end_calls, &tracer->program);
    task_clear(&tracer->program.tasks);
    atomic_store(&tracer->program.done, 1);
    sink_finish(&tracer->program.sink);
    return NULL;
}

struct tracer * tracer_new(uint32_t blocks, const uint8_t * selected) {
    struct tracer * tracer = calloc(1, sizeof *tracer);
    if (!tracer) {
        return NULL;
    }
    tracer->child = (struct launched) {-1, -1, -1};
    static const uint8_t nothing[SELECT_BYTES];
    tracer->selection = selection_of(selected);
    tracer->no_calls = selected && memcmp(selected, nothing, SELECT_BYTES) == 0;
    if (!sink_open(&tracer->program.sink, blocks)) {
        tracer_free(tracer);
        return NULL;
    }
    return tracer;
}

/* Every signal is blocked in the new thread: Ctrl-C belongs to Python's own. */
static int start_thread(struct tracer * tracer) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &tracer->old_mask);
    int error = pthread_create(&tracer->thread, NULL, tracer_thread, tracer);
    pthread_sigmask(SIG_SETMASK, &tracer->old_mask, NULL);
    tracer->thread_started = !error;
    if (error) {
        fail(tracer, STAGE_THREAD, error);
    }
    return -error;
}

int tracer_launch(struct tracer * tracer, const char * path, char * const * argv,
                  char * const * envp, const char * cwd, const void * filter,
                  uint32_t filter_length, int no_new_privs, uint32_t loops) {
    tracer->launch = (struct launch) {
        path, argv, envp, cwd, filter, (uint16_t) filter_length, no_new_privs != 0, loops};
    tracer->seccomp = filter_length > 0;
    return start_thread(tracer);
}

int tracer_attach(struct tracer * tracer, int pid) {
    tracer->attached = true;
    tracer->program.root = pid;
    return start_thread(tracer);
}

int tracer_also(struct tracer * tracer, int pid) {
    pid_t * more = realloc(tracer->others, (tracer->other_count + 1) * sizeof *more);
    if (!more) {
        return ENOMEM;
    }
    tracer->others = more;
    tracer->others[tracer->other_count++] = pid;
    return 0;
}

void tracer_hold(struct tracer * tracer) {
    atomic_store(&tracer->hold, 1);
}

void tracer_entry_only(struct tracer * tracer) {
    tracer->entry_only = true;
}

int tracer_held(struct tracer * tracer) {
    return atomic_load(&tracer->hold) == 2;
}

void tracer_release(struct tracer * tracer) {
    atomic_store(&tracer->hold, 0);
}

int tracer_started(struct tracer * tracer) {
    return atomic_load(&tracer->started);
}

/* The signal may come just before waitpid blocks, so it is sent again until the request is heard.
 */
static void wake(struct tracer * tracer) {
    if (tracer->thread_started && !atomic_load(&tracer->program.done) &&
        atomic_load(&tracer->program.request) != REQUEST_NONE) {
        pthread_kill(tracer->thread, tracer_wake_signal());
    }
}

struct sink_block * tracer_take(struct tracer * tracer, int timeout_ms) {
    wake(tracer);
    return sink_take(&tracer->program.sink, timeout_ms);
}

void tracer_give_back(struct tracer * tracer, struct sink_block * block) {
    sink_give_back(&tracer->program.sink, block);
}

void tracer_ask(struct tracer * tracer, int request) {
    /* Not waited for: the thread may be waiting for a block that only the caller can give back. */
    atomic_store(&tracer->program.request, request);
    wake(tracer);
}

void tracer_state_of(struct tracer * tracer, struct tracer_state * state) {
    state->started = atomic_load(&tracer->started);
    state->done = atomic_load(&tracer->program.done);
    state->root = tracer->program.root;
    state->stage = tracer->stage;
    state->error = tracer->error;
    state->wait_status = tracer->wait_status;
    state->wait_status_known = tracer->wait_status_known;
    state->memory_way = memory_way();
    state->stops = atomic_load(&tracer->stops);
    state->lost = tracer->program.sink.lost;
    state->waits = tracer->program.sink.waits;
    state->loop_ns = tracer->loop_ns;
    state->refused = atomic_load(&tracer->refused);
}

struct program * tracer_program(struct tracer * tracer) {
    return &tracer->program;
}

void tracer_free(struct tracer * tracer) {
    if (!tracer) {
        return;
    }
    sink_abandon(&tracer->program.sink);
    if (tracer->thread_started) {
        tracer_ask(tracer, tracer->attached ? REQUEST_DETACH : REQUEST_KILL);
        while (!atomic_load(&tracer->program.done)) {
            wake(tracer);
            usleep(WAKE_STEP_US);
        }
        pthread_join(tracer->thread, NULL);
    }
    breakpoints_free(tracer->program.breakpoints);
    look_free(tracer->program.look);
    watch_free(tracer->program.watching);
    sink_close(&tracer->program.sink);
    free(tracer->others);
    free(tracer);
}
