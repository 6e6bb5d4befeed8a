/* The ptrace recorder: one thread that starts or attaches to a program and resumes it from stop to
 * stop.
 *
 * Every ptrace request must come from the thread that seized, so all of them are made in that
 * thread; the functions of tracer.cdef.h, called by Python, only talk to it through the sink and
 * the atomics. */
#ifndef LLAMACTL_TRACER_H
#define LLAMACTL_TRACER_H

#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ptrace/api.h"
#include "common/arch.h"
#include "common/clock.h"
#include "common/program.h"
#include "common/request.h"
#include "common/selection.h"
#include "ptrace/awake.h"

#define TRACE_MARK                                                                                 \
    0x6c63 /* the data of our own filter; see llamactl/trace/record/syscalls/seccomp.py */
#define REFUSED_STRICT 1u  /* strict seccomp, which can't follow a filter */
#define REFUSED_TRACEME 2u /* a program can have one tracer only */

/* Keep the numbers in step with llamactl/trace/record/syscalls/native.py. */
enum tracer_stage {
    STAGE_NONE = 0,
    STAGE_THREAD,
    STAGE_FORK,
    STAGE_SEIZE,
    STAGE_CHDIR,
    STAGE_NO_NEW_PRIVS,
    STAGE_SECCOMP,
    STAGE_EXEC,
};

enum tracer_request {
    REQUEST_NONE = 0,
    REQUEST_PASS, /* record no more, keep resuming: a seccomp filter can't be left without a tracer
                   */
    REQUEST_DETACH,  /* let every thread go */
    REQUEST_KILL,    /* end the program that was started */
    REQUEST_ABANDON, /* detaching takes long: leave threads that the kernel holds */
};

struct launch {
    const char * path; /* NULL: instead of a program, make `loops` system calls and time them */
    char * const * argv;
    char * const * envp;
    const char * cwd; /* NULL: stay */
    const struct sock_filter * filter;
    uint16_t filter_length; /* 0: no filter, stop at every call */
    bool no_new_privs;
    uint32_t loops;
};

struct tracer {
    struct program program;
    pthread_t thread;
    bool thread_started;
    struct launch launch;
    sigset_t old_mask;
    struct launched child;
    pid_t * others; /* attached to with it */
    uint32_t other_count;
    bool attached;
    bool seccomp;
    bool no_calls;       /* no system call is selected */
    bool entry_only;     /* another recorder sees the calls: only their strings are wanted */
    atomic_uint refused; /* what the program asked for and couldn't have because of us: REFUSED_ */
    struct selection selection;
    bool abandoned;
    int32_t wait_status;
    bool wait_status_known;
    uint64_t loop_ns;
    atomic_int started; /* 0 not yet, 1 running, 2 failed */
    atomic_int hold;    /* 1 asked for, 2 the child waits to be released */
    int stage;
    int error;
    atomic_ullong stops;
    struct awake awake;
};

bool launch_fork(const struct launch * launch, const sigset_t * mask, struct launched * child);
/* Reads what the child said before it gave up; false when it said nothing. */
bool launch_report(struct launched * child, int * stage, int * error, uint64_t * loop_ns);
void launch_close(struct launched * child);

/* The call at which a seccomp filter stopped goes as it would without us. data: the filter's. */
void world_filtered(struct task * task, uint32_t data);
/* Notes what a call asks for that a traced program can't have. */
void world_looks(struct tracer * tracer, uint64_t nr, const uint64_t * args);

void * tracer_thread(void * data);
void tracer_loop(struct tracer * tracer);
/* Does what program.request says. */
void tracer_obey(struct tracer * tracer);
bool tracer_seize_child(struct tracer * tracer);
bool tracer_seize_running(struct tracer * tracer);
/* Asks every thread to stop, so that the next stops can be used to let go of it. */
void tracer_interrupt_all(struct tracer * tracer);
/* Handles a stop while detaching. */
void tracer_let_go(struct tracer * tracer, pid_t tid, int status);

void record_call(struct tracer * tracer, struct task * task, int64_t ret, uint64_t now);
void record_task(struct tracer * tracer, struct task * task, int what, pid_t child, pid_t child_pid,
                 int64_t ret);
/* Where a signal came from; zeros for what isn't known. */
struct signal_origin {
    pid_t sender;         /* of a signal that a process sent */
    int code;             /* si_code (sigaction(2)) */
    uint64_t address;     /* of a fault: what couldn't be used */
    uint64_t instruction; /* where the thread was */
};
void record_signal(struct tracer * tracer, struct task * task, int signal,
                   const struct signal_origin * origin);

#endif
