/* What happens when a thread meets a breakpoint: at a function's entry, and at its return. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>
#include <unistd.h>

#include "breakpoint/breakpoint.h"
#include "breakpoint/buffers.h"
#include "calls/result.h"
#include "common/clock.h"
#include "common/request.h"
#include "common/texts.h"

#if defined(__x86_64__)

#define PEEK_SIGNALS 8

static void go_on_at(const struct task * task, uint64_t address) {
    request(PTRACE_POKEUSR, task->tid, offsetof(struct user, regs.rip),
            (void *) (uintptr_t) address);
}

static void put(struct program * program, const struct frame * frame) {
    if (program->recording) {
        sink_add(&program->sink, &frame->record, &frame->text, NULL);
    }
}

void frame_lost(struct program * program, struct task * task, struct frame * frame) {
    (void) task;
    if (!frame->reported) {
        frame->record.flags |= FLAG_NO_EXIT;
        put(program, frame);
        frame->reported = true;
    }
}

/* A frame below the stack pointer was jumped over (longjmp), unless it is on a signal stack: it is
 * given up but not forgotten. At the same place only a call that never returned can have been. */
static void give_up_frames(struct program * program, struct task * task, uint64_t slot) {
    struct frames * frames = task->frames;
    for (uint32_t i = frames ? frames->count : 0; i-- > 0;) {
        if (frames->rows[i].slot <= slot) {
            frames->rows[i].record.flags |= FLAG_LEFT;
            frame_lost(program, task, &frames->rows[i]);
        }
        if (frames->rows[i].slot == slot) {
            frames_remove(frames, i);
        }
    }
}

static void read_floats(const struct task * task, struct entry_state * state) {
    struct user_fpregs_struct floats;
    if (request(PTRACE_GETFPREGS, task->tid, 0, &floats) == 0) {
        for (int i = 0; i < 8; i++) {
            state->floats[i] = floats.xmm_space[i * 4];
        }
    }
}

static void read_string(const struct breakpoints * b, struct frame * frame, uint64_t address) {
    size_t length = 0;
    while (address && length < TEXT_LIMIT && text_reserve(&frame->text, (uint32_t) length + 256)) {
        /* Not beyond a page's end, where the memory may end. */
        size_t part = 256 - ((address + length) & 255);
        uint8_t * to = frame->text.bytes + length;
        if (!breakpoint_read(b, address + length, to, part)) {
            break;
        }
        const uint8_t * end = memchr(to, 0, part);
        length = end ? (size_t) (end - frame->text.bytes) : length + part;
        if (end) {
            break;
        }
    }
    frame->text.length = (uint32_t) length;
}

static void keep(const struct breakpoints * b, const struct task * task, struct frame * frame,
                 const struct user_regs_struct * registers, struct entry_state * state) {
    const uint64_t integers[6] = {registers->rdi, registers->rsi, registers->rdx,
                                  registers->rcx, registers->r8,  registers->r9};
    memcpy(state->integers, integers, sizeof integers);
    for (int i = 0; i < frame->point->count; i++) {
        if (frame->point->source[i] == FLOAT_REGISTER) {
            read_floats(task, state);
        } else if (frame->point->source[i] == STRING) {
            read_string(b, frame, integers[frame->point->index[i] % 6]);
        }
    }
    frame_keep(frame, state);
}

static void entry(struct program * program, struct task * task, const struct point * point,
                  const struct user_regs_struct * registers) {
    struct breakpoints * b = program->breakpoints;
    struct entry_state state = {.stack_pointer = registers->rsp};
    go_on_at(task, point->slot);
    if (point->looks) {
        breakpoint_look(program);
        return;
    }
    if (point->unwinds) {
        frames_restore(b, task->frames, b->memory);
        return;
    }
    ssize_t got = pread(b->memory, state.stack, sizeof state.stack, (off_t) registers->rsp);
    state.stack_bytes = got > 0 ? (uint32_t) got : 0;
    /* A tail call finds the trampoline: the function that called it is llama.cpp's own. */
    if (got < 8 || state.stack[0] == b->trampoline ||
        (!point->always && breakpoint_inside(b, state.stack[0]))) {
        b->inner++;
        return;
    }
    give_up_frames(program, task, registers->rsp);
    struct frame * frame = frames_push(&task->frames, point, registers->rsp);
    struct frame single = {.point = point};
    bool caught = frame && breakpoint_write(b, registers->rsp, &b->trampoline, 8);
    struct frame * kept = frame ? frame : &single;
    kept->original = state.stack[0];
    kept->record = record_of(RECORD_CALL, task->tid, task->pid, 0, RECORD_CPU_UNKNOWN);
    kept->record.nr = point->nr;
    keep(b, task, kept, registers, &state);
    kept->record.start = now_ns();
    if (!caught) {
        b->unrecorded++;
        kept->record.flags |= FLAG_LEFT;
        frame_lost(program, task, kept);
        if (frame) {
            frames_remove(task->frames, task->frames->count - 1);
        } else {
            free(single.text.bytes);
        }
    }
}

struct search {
    uint64_t slot;
    struct task * owner;
    uint32_t index;
};

static bool find_frame(const struct frames * frames, struct search * search) {
    for (uint32_t i = frames ? frames->count : 0; i-- > 0;) {
        if (frames->rows[i].slot == search->slot) {
            search->index = i;
            return true;
        }
    }
    return false;
}

/* A coroutine may return on another thread than it was called on. */
static void search_task(struct task * task, void * data) {
    struct search * search = data;
    if (!search->owner && !task->foreign && find_frame(task->frames, search)) {
        search->owner = task;
    }
}

static bool returned(struct program * program, struct task * task,
                     const struct user_regs_struct * registers) {
    uint64_t now = now_ns();
    struct search search = {registers->rsp - 8, NULL, 0};
    if (find_frame(task->frames, &search)) {
        search.owner = task;
    } else {
        task_each(&program->tasks, search_task, &search);
    }
    if (!search.owner) {
        return false;
    }
    struct frames * frames = search.owner->frames;
    struct frame * frame = &frames->rows[search.index];
    go_on_at(task, frame->original);
    if (!frame->reported) {
        struct entry_state state = {0};
        if (frame->point->returns == 'f') {
            read_floats(task, &state);
        }
        frame->record.duration = now - frame->record.start;
        frame->record.ret = result_of(frame->point->returns, registers->rax, state.floats[0]);
        put(program, frame);
    }
    if (frame->point->role) {
        watch_returned(program, task, frame->point->role, &frame->record);
    }
    for (uint32_t i = frames->count; i-- > search.index + 1;) {
        if (frames->rows[i].slot < search.slot) {
            frames->rows[i].record.flags |= FLAG_LEFT;
            frame_lost(program, task, &frames->rows[i]);
            frames_remove(frames, i);
        }
    }
    frames_remove(frames, search.index);
    return true;
}

bool breakpoint_trap(struct program * program, struct task * task) {
    struct breakpoints * b = program->breakpoints;
    struct user_regs_struct registers;
    if (breakpoint_watch_trap(program, task)) {
        return true;
    }
    if (!b || !b->placed || task->foreign ||
        request(PTRACE_GETREGS, task->tid, 0, &registers) != 0) {
        return false;
    }
    uint64_t at = registers.rip - 1;
    b->hits++;
    if (at == b->trampoline) {
        return returned(program, task, &registers);
    }
    const struct point * point = breakpoint_point(b, at);
    if (!point || !point->armed) {
        return false;
    }
    if (b->armed) {
        entry(program, task, point, &registers);
    } else {
        go_on_at(task, at); /* The int3 has been taken out meanwhile: execute what is there now. */
    }
    return true;
}

/* Whether a SIGTRAP waits to be reported by this thread. */
static bool trap_is_pending(const struct task * task) {
    siginfo_t waiting[PEEK_SIGNALS];
    struct {
        uint64_t offset;
        uint32_t flags;
        int32_t count;
    } which = {0, 0, PEEK_SIGNALS};
    long count = request(PTRACE_PEEKSIGINFO, task->tid, (uint64_t) (uintptr_t) &which, waiting);
    for (long i = 0; i < count; i++) {
        if (waiting[i].si_signo == SIGTRAP) {
            return true;
        }
    }
    return false;
}

static const struct point * point_of_slot(const struct breakpoints * b, uint64_t address) {
    for (const struct point_set * set = b->sets; set; set = set->next) {
        for (uint32_t i = 0; i < set->points->count; i++) {
            const struct point * point = &set->points->rows[i];
            if (point->slot && address >= point->slot &&
                address < point->slot + point->slot_bytes) {
                return point;
            }
        }
    }
    return NULL;
}

/* A thread that is still in a slot goes back to the function. */
static void leave_slot(const struct breakpoints * b, const struct task * task) {
    struct user_regs_struct registers;
    if (request(PTRACE_GETREGS, task->tid, 0, &registers) != 0) {
        return;
    }
    const struct point * point = point_of_slot(b, registers.rip);
    if (!point) {
        return;
    }
    uint64_t target = point->address;
    /* Behind the copied instruction is only the jump, with the address it leads to at its end. */
    if (registers.rip > point->slot && !breakpoint_read(b, registers.rip + 6, &target, 8)) {
        return;
    }
    go_on_at(task, target);
}

bool breakpoint_release(struct program * program, struct task * task) {
    struct breakpoints * b = program->breakpoints;
    bool armed = b && b->placed && !task->foreign;
    if ((armed || task->watch_version) && trap_is_pending(task)) {
        return false;
    }
    breakpoint_unwatch_thread(task);
    if (!armed) {
        return true;
    }
    leave_slot(b, task);
    breakpoint_left(program, task);
    return true;
}

#else

void frame_lost(struct program * program, struct task * task, struct frame * frame) {
    (void) program, (void) task, (void) frame;
}
bool breakpoint_trap(struct program * program, struct task * task) {
    (void) program, (void) task;
    return false;
}
bool breakpoint_release(struct program * program, struct task * task) {
    (void) program, (void) task;
    return true;
}

#endif
