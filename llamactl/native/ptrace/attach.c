/* Take hold of a program's threads, and let go of them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "breakpoint/breakpoint.h"
#include "ptrace/tracer.h"

#define FOLLOW                                                                                     \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |      \
     PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT)

bool tracer_seize_child(struct tracer * tracer) {
    /* A filter outlives its tracer and then fails calls with ENOSYS, so the child must not outlive
     * us. */
    long options = FOLLOW | PTRACE_O_EXITKILL | (tracer->seccomp ? PTRACE_O_TRACESECCOMP : 0);
    struct task * task = task_get(&tracer->program.tasks, tracer->program.root);
    if (!task || request(PTRACE_SEIZE, tracer->program.root, 0, (void *) options) != 0) {
        tracer->error = task ? errno : ENOMEM;
        return false;
    }
    task->pid = tracer->program.root;
    return request(PTRACE_INTERRUPT, tracer->program.root, 0, NULL) == 0;
}

static bool is_ours(pid_t tid) {
    char path[64], line[128];
    bool ours = false;
    snprintf(path, sizeof path, "/proc/%d/status", (int) tid);
    FILE * file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        int tracer;
        if (sscanf(line, "TracerPid: %d", &tracer) == 1) {
            ours = tracer == getpid();
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return ours;
}

/* Seizes one thread; 1 when it is new, 0 when there was nothing to do, -1 when it was refused. */
static int seize_thread(struct tracer * tracer, pid_t pid, pid_t tid) {
    if (task_find(&tracer->program.tasks, tid)) {
        return 0;
    }
    if (request(PTRACE_SEIZE, tid, 0, (void *) FOLLOW) != 0) {
        tracer->error = errno;
        /* A thread that was born of a seized one is ours already; one that has ended is no loss. */
        return errno == ESRCH || is_ours(tid) ? 0 : -1;
    }
    struct task * task = task_get(&tracer->program.tasks, tid);
    if (!task) {
        tracer->error = ENOMEM;
        return -1;
    }
    task->pid = pid;
    request(PTRACE_INTERRUPT, tid, 0, NULL);
    return 1;
}

/* One pass over /proc/PID/task; returns how many threads were new, -1 when one was refused. */
static int seize_pass(struct tracer * tracer, pid_t pid) {
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
    DIR * directory = opendir(path);
    if (!directory) {
        tracer->error = errno == ENOENT ? ESRCH : errno;
        return pid != tracer->program.root && errno == ENOENT ? 0
                                                              : -1; /* A child that has ended. */
    }
    for (struct dirent * entry; found >= 0 && (entry = readdir(directory));) {
        pid_t tid = (pid_t) strtol(entry->d_name, NULL, 10);
        int got = tid > 0 ? seize_thread(tracer, pid, tid) : 0;
        found = got < 0 ? -1 : found + got;
    }
    closedir(directory);
    return found;
}

bool tracer_seize_running(struct tracer * tracer) {
    int found;
    /* Threads may start while the list is read: go on until a pass finds nothing new. */
    do {
        found = seize_pass(tracer, tracer->program.root);
        for (uint32_t i = 0; found >= 0 && i < tracer->other_count; i++) {
            int more = seize_pass(tracer, tracer->others[i]);
            found = more < 0 ? -1 : found + more;
        }
    } while (found > 0);
    if (found < 0 && tracer->program.tasks.count) {
        tracer_interrupt_all(tracer); /* Let go again of those that were taken. */
        tracer->program.detaching = true;
        tracer_loop(tracer);
    }
    if (found == 0 && !tracer->program.tasks.count) {
        tracer->error = ESRCH;
        return false;
    }
    return found == 0;
}

static void interrupt_one(struct task * task, void * data) {
    (void) data;
    request(PTRACE_INTERRUPT, task->tid, 0, NULL);
}

void tracer_interrupt_all(struct tracer * tracer) {
    task_each(&tracer->program.tasks, interrupt_one, NULL);
}

/* A child that is being born takes a copy of its parent's stack along, so it is looked after first.
 */
static void look_at_newcomers(struct tracer * tracer, struct task * task, int event) {
    unsigned long child = 0;
    if (task) {
        breakpoint_newcomer(&tracer->program, task);
    }
    bool birth =
        event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
    if (birth && request(PTRACE_GETEVENTMSG, task ? task->tid : 0, 0, &child) == 0) {
        /* Not into the table: it may have been let go before. */
        struct task born = {.tid = (pid_t) child};
        breakpoint_newcomer(&tracer->program, &born);
    }
}

void tracer_let_go(struct tracer * tracer, pid_t tid, int status) {
    int signal = WSTOPSIG(status);
    struct task * task = task_find(&tracer->program.tasks, tid);
    look_at_newcomers(tracer, task, status >> 16);
    bool ours =
        status >> 16 == 0 && signal == SIGTRAP && task && breakpoint_trap(&tracer->program, task);
    /* A signal about to be delivered goes on its way; every other stop is our own doing. */
    bool deliver = status >> 16 == 0 && signal != (SIGTRAP | 0x80) && !ours;
    void * delivered = (void *) (deliver ? (long) signal : 0);
    if (task && !breakpoint_release(&tracer->program, task)) {
        request(PTRACE_CONT, tid, 0, delivered);
        return;
    }
    if (task && task->in_call) {
        task->flags |= FLAG_NO_EXIT;
        record_call(tracer, task, 0, task->start);
    }
    if (request(PTRACE_DETACH, tid, 0, delivered) == 0 || errno == ESRCH) {
        task_remove(&tracer->program.tasks, tid);
    }
}
