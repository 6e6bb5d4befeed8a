/* Watch addresses with the debug registers through ptrace, where perf events are refused. x86-64.
 *
 * The thread that was handed a buffer takes the addresses over at once, the others at their next
 * stop; new threads begin without (Linux clears them at clone) and stop at their birth. DR7: AMD64
 * manual, volume 2, 13.1.1. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/user.h>

#include "breakpoint/breakpoint.h"
#include "breakpoint/buffers.h"
#include "common/clock.h"
#include "common/request.h"
#include "common/texts.h"

#if defined(__x86_64__)

#define HARDWARE_TRAP 4 /* TRAP_HWBKPT of siginfo */
#define STACK_COPY 4

static long poke(pid_t tid, int number, uint64_t value) {
    size_t at = offsetof(struct user, u_debugreg) + (size_t) number * sizeof(uint64_t);
    return request(PTRACE_POKEUSR, tid, at, (void *) (uintptr_t) value);
}

/* Enabled for this thread, reads and writes, four bytes. */
static uint64_t control_of(int number) {
    return 1ull << (number * 2) | 0xfull << (16 + number * 4);
}

void breakpoint_watch_thread(struct program * program, struct task * task) {
    struct watching * w = program->watching;
    uint64_t control = 0;
    if (!w || w->perf || task->pid != w->process) {
        return;
    }
    unsigned version = atomic_load_explicit(&w->watch_version, memory_order_acquire);
    if (task->watch_version == version) {
        return;
    }
    task->watch_version = version;
    poke(task->tid, 7, 0); /* An address can only be changed while it isn't watched. */
    for (int i = 0; i < WATCHES; i++) {
        uint64_t address = atomic_load(&w->watched[i]);
        if (address && poke(task->tid, i, address) == 0) {
            control |= control_of(i);
        }
    }
    if (control && poke(task->tid, 7, control) != 0) {
        atomic_store(&w->watch_refused, 1);
    }
}

void breakpoint_unwatch_thread(struct task * task) {
    if (task->watch_version) {
        poke(task->tid, 7, 0);
        task->watch_version = 0;
    }
}

static void touched(struct program * program, const struct task * task, int which,
                    const struct user_regs_struct * registers) {
    struct record record =
        record_of(RECORD_WATCH, task->tid, task->pid, now_ns(), RECORD_CPU_UNKNOWN);
    record.nr = program->watching->watched_as[which];
    record.args[0] = atomic_load(&program->watching->watched[which]);
    record.args[1] = registers->rip;
    memory_read(task->tid, registers->rsp, &record.args[2], 8 * STACK_COPY);
    sink_add(&program->sink, &record, NULL, NULL);
    watch_touched(program, record.start);
}

bool breakpoint_watch_trap(struct program * program, struct task * task) {
    struct user_regs_struct registers;
    siginfo_t info;
    if (!task->watch_version || request(PTRACE_GETSIGINFO, task->tid, 0, &info) != 0 ||
        info.si_code != HARDWARE_TRAP || request(PTRACE_GETREGS, task->tid, 0, &registers) != 0) {
        return false;
    }
    uint64_t status = 0;
    request(PTRACE_PEEKUSR, task->tid, offsetof(struct user, u_debugreg) + 6 * sizeof status,
            &status);
    poke(task->tid, 6, 0);
    for (int i = 0; i < WATCHES; i++) {
        if (status >> i & 1 && program->recording && atomic_load(&program->watching->watched[i])) {
            touched(program, task, i, &registers);
        }
    }
    return true;
}

#else

void breakpoint_watch_thread(struct program * program, struct task * task) {
    (void) program, (void) task;
}
void breakpoint_unwatch_thread(struct task * task) {
    (void) task;
}
bool breakpoint_watch_trap(struct program * program, struct task * task) {
    (void) program, (void) task;
    return false;
}

#endif
