/* The loop: wait for a stop, record what it means, resume. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "breakpoint/breakpoint.h"
#include "ptrace/tracer.h"
#include "common/texts.h"
#include "breakpoint/buffers.h"

#define SYSCALL_STOP (SIGTRAP | 0x80)
#define X32_BIT 0x40000000u

/* With a filter a thread runs freely between selected calls; without one it stops at each call. */
static void resume(const struct tracer * tracer, const struct task * task, long signal) {
    bool freely =
        tracer->program.passing || tracer->no_calls || (tracer->seccomp && !task->in_call);
    int how = freely ? PTRACE_CONT : PTRACE_SYSCALL;
    request(how, task->tid, 0, (void *) signal);
}

static void enter_call(struct tracer * tracer, struct task * task, uint32_t audit, uint64_t nr,
                       const uint64_t * args) {
    task->in_call = true;
    task->flags = 0;
    task->arch = arch_of_audit(audit);
    task->nr = nr < RECORD_NR_UNKNOWN ? (uint16_t) nr : RECORD_NR_UNKNOWN;
    task->wanted = task->arch != ARCH_NATIVE || selects(&tracer->selection, nr);
    task->rule = NULL;
    task->text[0].length = 0;
    task->text[1].length = 0;
    if (!task->wanted) {
        return;
    }
    memcpy(task->args, args, sizeof task->args);
    if (task->arch == ARCH_NATIVE && !(nr & X32_BIT)) {
        task->rule = text_rule_of((uint32_t) nr);
        if (task->rule) {
            text_read(task, false);
        }
    }
    task->start = now_ns();
    if (tracer->entry_only && task->rule && text_on_entry(task->rule)) {
        task->flags |= FLAG_ENTRY_ONLY;
        record_call(tracer, task, 0, task->start);
    }
}

/* A return whose entry wasn't seen: the thread was inside the call when it was seized. */
static void enter_unseen(struct tracer * tracer, struct task * task, uint64_t now) {
    arch_registers registers;
    struct iovec where = {&registers, sizeof registers};
    static const uint64_t no_args[6];
    uint64_t nr = RECORD_NR_UNKNOWN;
    if (request(PTRACE_GETREGSET, task->tid, NT_PRSTATUS, &where) == 0) {
        nr = arch_call_number(&registers);
    }
    enter_call(tracer, task, ARCH_NATIVE_AUDIT, nr, no_args);
    task->rule = NULL;
    task->text[0].length = 0;
    task->text[1].length = 0;
    task->flags = FLAG_NO_ENTRY;
    task->start = now;
}

static void leave_call(struct tracer * tracer, struct task * task, int64_t ret) {
    uint64_t now = now_ns();
    if (!task->in_call) {
        enter_unseen(tracer, task, now);
    }
    if (task->wanted && task->rule && ret >= 0) {
        text_read(task, true);
    }
    record_call(tracer, task, ret, now);
}

static void syscall_stop(struct tracer * tracer, struct task * task) {
    struct ptrace_syscall_info info;
    if (request(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof info, &info) < 0) {
        return;
    }
    switch (info.op) {
    case PTRACE_SYSCALL_INFO_ENTRY:
        world_looks(tracer, info.entry.nr, (const uint64_t *) info.entry.args);
        if (watch_asked(&tracer->program, task, info.entry.nr,
                        (const uint64_t *) info.entry.args)) {
            task->in_call = true;
            task->wanted = false;
            break;
        }
        enter_call(tracer, task, info.arch, info.entry.nr, (const uint64_t *) info.entry.args);
        break;
    case PTRACE_SYSCALL_INFO_SECCOMP:
        world_filtered(task, info.seccomp.ret_data);
        world_looks(tracer, info.seccomp.nr, (const uint64_t *) info.seccomp.args);
        /* In a program with a filter of its own this may follow the entry that was seen already. */
        if (!task->in_call && !watch_asked(&tracer->program, task, info.seccomp.nr,
                                           (const uint64_t *) info.seccomp.args)) {
            enter_call(tracer, task, info.arch, info.seccomp.nr,
                       (const uint64_t *) info.seccomp.args);
        }
        break;
    case PTRACE_SYSCALL_INFO_EXIT:
        leave_call(tracer, task, info.exit.rval);
        break;
    default:
        break;
    }
}

static pid_t event_message(pid_t tid) {
    unsigned long message = 0;
    request(PTRACE_GETEVENTMSG, tid, 0, &message);
    return (pid_t) message;
}

static void new_task(struct tracer * tracer, struct task * task, int event) {
    pid_t tid = event_message(task->tid);
    struct task * child = task_get(&tracer->program.tasks, tid);
    if (!child) {
        return;
    }
    if (!child->pid) {
        child->pid = event == PTRACE_EVENT_CLONE ? task_process_of(tid) : tid;
    }
    int what = event == PTRACE_EVENT_FORK    ? TASK_FORK
               : event == PTRACE_EVENT_VFORK ? TASK_VFORK
                                             : TASK_CLONE;
    breakpoint_newcomer(&tracer->program, child);
    record_task(tracer, task, what, tid, child->pid, 0);
}

/* When a thread other than the first calls exec, the kernel gives it the first one's id. */
static struct task * exec_event(struct tracer * tracer, struct task * task) {
    pid_t former = event_message(task->tid);
    struct task * caller = former != task->tid ? task_find(&tracer->program.tasks, former) : NULL;
    if (caller) {
        breakpoint_ended(&tracer->program, task);
        if (task->in_call) {
            task->flags |= FLAG_NO_EXIT;
            record_call(tracer, task, 0, task->start);
        }
        struct task kept = *task;
        struct task * next = task->next;
        pid_t tid = task->tid, pid = task->pid;
        *task = *caller; /* It is inside execve, which is about to return. */
        task->next = next;
        task->tid = tid;
        task->pid = pid;
        caller->frames = NULL;
        caller->text[0] = kept.text[0];
        caller->text[1] = kept.text[1];
        task_remove(&tracer->program.tasks, former);
    }
    breakpoint_exec(&tracer->program, task);
    if (task->tid == tracer->program.root && !tracer->attached && !atomic_load(&tracer->started)) {
        tracer->program.recording = true;
        atomic_store(&tracer->started, 1);
    }
    record_task(tracer, task, TASK_EXEC, former, 0, 0);
    return task;
}

static bool is_fault(int signal) {
    return signal == SIGSEGV || signal == SIGILL || signal == SIGBUS || signal == SIGFPE ||
           signal == SIGABRT || signal == SIGTRAP || signal == SIGSYS;
}

static struct signal_origin origin_of(const struct task * task, int signal) {
    struct signal_origin origin = {0};
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (request(PTRACE_GETSIGINFO, task->tid, 0, &info) == 0) {
        bool sent = info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
        origin.sender = sent ? info.si_pid : 0;
        origin.code = info.si_code;
        origin.address = is_fault(signal) && !sent ? (uint64_t) (uintptr_t) info.si_addr : 0;
    }
    arch_registers registers;
    struct iovec where = {&registers, sizeof registers};
    if (is_fault(signal) && request(PTRACE_GETREGSET, task->tid, NT_PRSTATUS, &where) == 0) {
        origin.instruction = arch_instruction(&registers);
    }
    return origin;
}

static void signal_stop(struct tracer * tracer, struct task * task, int signal) {
    if (signal == SIGTRAP && breakpoint_trap(&tracer->program, task)) {
        resume(tracer, task, 0);
        return;
    }
    struct signal_origin origin = origin_of(task, signal);
    record_signal(tracer, task, signal, &origin);
    resume(tracer, task, signal);
}

static void stop_event(struct tracer * tracer, struct task * task, int signal) {
    bool group = signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
    if (group) {
        request(PTRACE_LISTEN, task->tid, 0, NULL); /* Stay stopped, but hear SIGCONT. */
    } else {
        resume(tracer, task, 0);
    }
}

static void handle_stop(struct tracer * tracer, struct task * task, int status) {
    int signal = WSTOPSIG(status);
    int event = status >> 16;
    switch (event) {
    case 0:
        if (signal != SYSCALL_STOP) {
            signal_stop(tracer, task, signal);
            return;
        }
        syscall_stop(tracer, task);
        break;
    case PTRACE_EVENT_SECCOMP:
        syscall_stop(tracer, task);
        break;
    case PTRACE_EVENT_STOP:
        stop_event(tracer, task, signal);
        return;
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
        new_task(tracer, task, event);
        break;
    case PTRACE_EVENT_EXEC:
        task = exec_event(tracer, task);
        if (task->tid == tracer->program.root) {
            look_executed(&tracer->program);
        }
        break;
    case PTRACE_EVENT_EXIT:
        record_task(tracer, task, TASK_NAME, 0, 0, 0);
        break;
    default:
        break;
    }
    resume(tracer, task, 0);
}

static void task_ended(struct tracer * tracer, struct task * task, int status) {
    if (task->in_call) {
        task->flags |= FLAG_NO_EXIT;
        record_call(tracer, task, 0, task->start);
    }
    breakpoint_gone(&tracer->program, task);
    record_task(tracer, task, TASK_EXIT, 0, 0, status);
    if (task->tid == tracer->program.root) {
        tracer->wait_status = status;
        tracer->wait_status_known = true;
    }
    task_remove(&tracer->program.tasks, task->tid);
}

/* Before exec nothing of the program has run: what the child does there is ours, except execve. */
static void await_exec(struct tracer * tracer, const struct task * task) {
    bool execs = task->in_call && (task->nr == SYS_execve || task->nr == SYS_execveat);
    tracer->program.recording = execs && task->arch == ARCH_NATIVE;
}

/* There is no memory for one more thread: it runs on unrecorded, but with its signals. */
static void run_unknown(struct tracer * tracer, pid_t tid, int status) {
    tracer->program.sink.lost++;
    if (WIFSTOPPED(status)) {
        bool own = status >> 16 || WSTOPSIG(status) == SYSCALL_STOP;
        request(PTRACE_CONT, tid, 0, (void *) (long) (own ? 0 : WSTOPSIG(status)));
    }
}

void tracer_loop(struct tracer * tracer) {
    awake_begin(&tracer->awake);
    while (tracer->program.tasks.count) {
        int status;
        /* Only this thread's children: other threads of this process may have children of their
         * own. */
        pid_t tid = awake_wait(&tracer->awake, &status, &tracer->program.request);
        if (atomic_load_explicit(&tracer->program.request, memory_order_relaxed)) {
            tracer_obey(tracer);
        }
        if (tracer->abandoned) {
            break;
        }
        if (tid < 0) {
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        atomic_fetch_add_explicit(&tracer->stops, 1, memory_order_relaxed);
        struct task * task = task_get(&tracer->program.tasks, tid);
        if (!task) {
            run_unknown(tracer, tid, status);
            continue;
        }
        if (!WIFSTOPPED(status)) {
            task_ended(tracer, task, status);
        } else if (tracer->program.detaching) {
            tracer_let_go(tracer, tid, status);
        } else {
            if (tracer->program.killing) {
                kill(tid, SIGKILL); /* It was born after the order. */
            }
            if (!task->pid) {
                task->pid = task_process_of(tid);
            }
            breakpoint_newcomer(&tracer->program, task);
            breakpoint_watch_thread(&tracer->program, task);
            handle_stop(tracer, task, status);
            if (!atomic_load_explicit(&tracer->started, memory_order_relaxed)) {
                await_exec(tracer, task);
            }
        }
    }
    awake_end(&tracer->awake);
}
