/* Turn samples of uprobes into calls, and samples of watched addresses into reads. */
#define _GNU_SOURCE
#include <string.h>

#include "perf/perf.h"
#include "perf/user.h"
#include "calls/result.h"

/* What the kernel records of a uprobe (uprobe_events; format in tracefs). */
struct raw_probe {
    uint16_t type;
    uint8_t flags, preempt_count;
    int32_t pid;
    uint64_t function;
} __attribute__((packed));

struct user_state user_state_of(const struct sample * sample, bool with_stack) {
    struct user_state state = {0};
    const uint8_t * at = sample->raw + sample->raw_size;
    uint64_t abi;
    memcpy(&abi, at, 8);
    at += 8;
    if (abi) {
        state.registers = (const void *) at;
        at += 8 * USER_COUNT;
    }
    if (with_stack) {
        uint64_t room;
        memcpy(&room, at, 8);
        state.stack = at + 8;
        if (room) {
            memcpy(&state.stack_bytes, at + 8 + room, 8);
        }
    }
    return state;
}

static void put(struct perf * perf, const struct frame * frame) {
    sink_put(&perf->sink, &frame->record, NULL, NULL);
}

static void lost(struct perf * perf, struct frame * frame) {
    if (!frame->reported) {
        frame->record.flags |= FLAG_NO_EXIT;
        put(perf, frame);
        frame->reported = true;
    }
}

void perf_calls_lost(struct perf * perf, struct task * task) {
    for (uint32_t i = 0; task->frames && i < task->frames->count; i++) {
        lost(perf, &task->frames->rows[i]);
    }
    frames_free(task->frames);
    task->frames = NULL;
}

/* Whether this is llama.cpp calling itself: by a call, or at its end by a jump to another function,
 * which finds the kernel's trampoline in place of the return address. Frames that were jumped over
 * are given up. */
static bool is_inner(struct perf * perf, struct task * task, uint64_t slot, uint64_t caller) {
    struct frames * frames = task->frames;
    if (points_inside(perf->points, caller)) {
        return true;
    }
    for (uint32_t i = frames ? frames->count : 0; i-- > 0;) {
        struct frame * frame = &frames->rows[i];
        if (frame->slot == slot && frame->original != caller && !frame->reported) {
            return true;
        }
        if (frame->slot <= slot) {
            frame->record.flags |= FLAG_LEFT;
            lost(perf, frame);
        }
        if (frame->slot == slot) {
            frames_remove(frames, i);
        }
    }
    return false;
}

static struct record record_at(int kind, const struct sample * sample, uint16_t nr) {
    struct record record =
        record_of(kind, (int32_t) sample->tid, (int32_t) sample->pid, sample->time, sample->cpu);
    record.nr = nr;
    return record;
}

static void begin(struct frame * frame, const struct sample * sample, uint64_t caller) {
    frame->original = caller;
    frame->record = record_at(RECORD_CALL, sample, frame->point->nr);
}

static void entered(struct perf * perf, struct task * task, const struct sample * sample,
                    uint64_t function) {
    struct user_state user = user_state_of(sample, true);
    const struct point * point = points_find(perf->points, function);
    if (!point || !user.registers) {
        return;
    }
    struct entry_state state = {.stack_pointer = user.registers[USER_SP]};
    state.stack_bytes = user.stack_bytes < STACK_BYTES ? (uint32_t) user.stack_bytes : STACK_BYTES;
    memcpy(state.stack, user.stack, state.stack_bytes);
    for (int i = 0; i < 6; i++) {
        state.integers[i] = user.registers[user_arguments[i]];
    }
#if defined(__x86_64__)
    uint64_t caller = state.stack_bytes >= 8 ? state.stack[0] : 0;
#else
    uint64_t caller = user.registers[USER_LR];
#endif
    if (is_inner(perf, task, state.stack_pointer, caller) && !point->always) {
        atomic_fetch_add(&perf->inner, 1);
        return;
    }
    struct frame single = {.point = point};
    struct frame * frame =
        point->endless ? &single : frames_push(&task->frames, point, state.stack_pointer);
    if (!frame) {
        atomic_fetch_add(&perf->lost, 1);
        return;
    }
    begin(frame, sample, caller);
    frame_keep(frame, &state);
    if (point->endless) {
        frame->record.flags |= FLAG_LEFT;
        lost(perf, frame);
    }
}

static void left(struct perf * perf, struct task * task, const struct sample * sample,
                 uint64_t function) {
    struct user_state user = user_state_of(sample, false);
    struct frames * frames = task->frames;
    uint64_t slot = user.registers ? user.registers[USER_SP] - USER_SLOT_BELOW : 0;
    for (uint32_t i = frames && user.registers ? frames->count : 0; i-- > 0;) {
        struct frame * frame = &frames->rows[i];
        if (frame->slot != slot || frame->point->address != function) {
            continue;
        }
        if (!frame->reported) {
            frame->record.duration = sample->time - frame->record.start;
            frame->record.ret = result_of(frame->point->returns, user.registers[USER_RESULT], 0);
            frame->record.cpu = (uint16_t) sample->cpu;
            put(perf, frame);
        }
        frames_remove(frames, i);
        return;
    }
}

/* The number of the watched address, or -1. */
static int watch_of(struct perf * perf, uint64_t id) {
    int which = -1;
    pthread_mutex_lock(&perf->watch_lock);
    for (uint32_t i = 0; i < perf->watch_count && which < 0; i++) {
        if (perf->watches[i].id == id) {
            which = perf->watches[i].which;
        }
    }
    pthread_mutex_unlock(&perf->watch_lock);
    return which;
}

static void touched(struct perf * perf, const struct sample * sample, int which) {
    struct record record = record_at(RECORD_WATCH, sample, (uint16_t) which);
    struct user_state user = user_state_of(sample, true);
    record.args[0] = sample->address;
    record.args[1] = sample->ip;
#if defined(__aarch64__)
    record.args[2] = user.registers ? user.registers[USER_LR] : 0;
#else
    /* Where a leaf function such as memcpy returns to lies on top of the stack. */
    memcpy(&record.args[2], user.stack, user.stack_bytes < 32 ? user.stack_bytes & ~7ull : 32);
#endif
    sink_put(&perf->sink, &record, NULL, NULL);
}

bool perf_on_boundary(struct perf * perf, const struct sample * sample) {
    const struct raw_probe * raw = (const void *) sample->raw;
    if (!perf->settings.boundary) {
        return false;
    }
    int which = watch_of(perf, sample->identifier);
    if (which >= 0) {
        if (perf_watch_counts(perf, sample->time)) {
            touched(perf, sample, which);
        }
        return true;
    }
    if (!perf->points || sample->raw_size < sizeof *raw) {
        return false;
    }
    struct task * task = task_get(&perf->tasks, (pid_t) sample->tid);
    if (!task) {
        atomic_fetch_add(&perf->lost, 1);
    } else if (raw->type == perf->settings.probe_enter_id) {
        entered(perf, task, sample, raw->function);
    } else if (raw->type == perf->settings.probe_leave_id) {
        left(perf, task, sample, raw->function);
    }
    return true;
}
