/* Put breakpoints into a program and take them out again. */
#define _GNU_SOURCE
#include "breakpoint/breakpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KCMP_VM 1

bool breakpoint_read(const struct breakpoints * b, uint64_t address, void * buffer, size_t size) {
    return pread(b->memory, buffer, size, (off_t) address) == (ssize_t) size;
}

bool breakpoint_write(const struct breakpoints * b, uint64_t address, const void * bytes,
                      size_t size) {
    return pwrite(b->memory, bytes, size, (off_t) address) == (ssize_t) size;
}

void breakpoints_disarm(struct program * program) {
    struct breakpoints * b = program->breakpoints;
    if (b && b->armed) {
        breakpoint_write_originals(b, b->memory);
        b->armed = false;
    }
}

static bool shares_memory(const struct program * program, pid_t tid) {
    long answer = syscall(SYS_kcmp, tid, program->root, KCMP_VM, 0, 0);
    return answer >= 0 ? answer == 0 : task_process_of(tid) == program->root;
}

void frames_restore(const struct breakpoints * b, struct frames * frames, int memory) {
    for (uint32_t i = 0; frames && i < frames->count; i++) {
        uint64_t now = 0;
        const struct frame * frame = &frames->rows[i];
        /* A slot that no longer holds the trampoline has been used for something else since. */
        if (pread(memory, &now, 8, (off_t) frame->slot) == 8 && now == b->trampoline) {
            ssize_t done = pwrite(memory, &frame->original, 8, (off_t) frame->slot);
            (void) done;
        }
    }
}

struct restoring {
    const struct breakpoints * b;
    int memory;
};

static void restore_task(struct task * task, void * data) {
    const struct restoring * restoring = data;
    if (!task->foreign) {
        frames_restore(restoring->b, task->frames, restoring->memory);
    }
}

void breakpoint_newcomer(struct program * program, struct task * task) {
    struct breakpoints * b = program->breakpoints;
    if (!b || task->known) {
        return;
    }
    task->known = true;
    if (task->foreign || shares_memory(program, task->tid)) {
        return;
    }
    /* The child's stack is a copy of its parent's, with the return addresses replaced. */
    task->foreign = true;
    struct restoring restoring = {b, b->placed ? breakpoint_memory(task->tid) : -1};
    if (restoring.memory >= 0) {
        breakpoint_write_originals(b, restoring.memory);
        task_each(&program->tasks, restore_task, &restoring);
        breakpoint_clear_scratch(b, restoring.memory);
        close(restoring.memory);
    }
}

struct counting {
    struct program * program;
    const struct task * self;
    uint32_t others;
};

static void count_sharer(struct task * task, void * data) {
    struct counting * counting = data;
    counting->others +=
        task != counting->self && !task->foreign && shares_memory(counting->program, task->tid);
}

/* The last thread to leave cleans up; the others are safe, since nothing of ours is left in their
 * way. */
static void clear_when_last(struct program * program, const struct task * task) {
    struct breakpoints * b = program->breakpoints;
    struct counting counting = {program, task, 0};
    task_each(&program->tasks, count_sharer, &counting);
    if (!counting.others && b->placed) {
        /* Through a thread that is still ours: kernels may ask for that (proc_mem.force_override).
         */
        int memory = breakpoint_memory(task->tid);
        breakpoint_clear_scratch(b, memory < 0 ? b->memory : memory);
        b->placed = false;
        if (memory >= 0) {
            close(memory);
        }
    }
}

void breakpoint_gone(struct program * program, struct task * task) {
    breakpoint_ended(program, task);
    if (program->breakpoints && program->detaching && !task->foreign) {
        clear_when_last(program, task);
    }
}

static void forget_frames(struct task * task, void * data) {
    struct program * program = data;
    if (!task->foreign) {
        breakpoint_ended(program, task);
    }
}

void breakpoint_exec(struct program * program, struct task * task) {
    struct breakpoints * b = program->breakpoints;
    if (!b || task->foreign) {
        return;
    }
    task->known = true;
    if (task->pid != program->root) {
        task->foreign = true; /* A vfork child, which has left its parent's memory. */
        return;
    }
    task_each(&program->tasks, forget_frames, program);
    if (b->memory >= 0) {
        close(b->memory);
    }
    b->memory = -1;
    b->armed = false;
    b->placed = false;
    breakpoint_free_sets(b);
}

void breakpoint_ended(struct program * program, struct task * task) {
    struct frames * frames = task->frames;
    for (uint32_t i = 0; frames && i < frames->count; i++) {
        frame_lost(program, task, &frames->rows[i]);
    }
    frames_free(frames);
    task->frames = NULL;
}

void breakpoint_left(struct program * program, struct task * task) {
    struct breakpoints * b = program->breakpoints;
    frames_restore(b, task->frames, b->memory);
    breakpoint_ended(program, task);
    clear_when_last(program, task);
}

void breakpoints_free(struct breakpoints * b) {
    if (b) {
        if (b->memory >= 0) {
            close(b->memory);
        }
        breakpoint_free_sets(b);
        free(b);
    }
}

void program_breakpoint_state(struct program * program, struct breakpoint_state * state) {
    const struct breakpoints * b = program->breakpoints;
    memset(state, 0, sizeof *state);
    state->error = program->boundary_error;
    if (b) {
        *state = (struct breakpoint_state) {
            b->armed,     program->boundary_error, b->armed_count, b->refused, b->hits, b->inner,
            b->unrecorded};
    }
}
