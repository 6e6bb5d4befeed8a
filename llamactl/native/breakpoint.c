/* Put breakpoints into a program and take them out again. */
#define _GNU_SOURCE
#include "breakpoint.h"
#include "tracer_api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KCMP_VM 1
#define CODE_BYTES 16
#define SLOT_ALIGNMENT 8

static int open_memory(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int) pid);
    return open(path, O_RDWR | O_CLOEXEC);
}

bool breakpoint_read(const struct breakpoints * b, uint64_t address, void * buffer, size_t size) {
    return pread(b->memory, buffer, size, (off_t) address) == (ssize_t) size;
}

bool breakpoint_write(const struct breakpoints * b, uint64_t address, const void * bytes,
                      size_t size) {
    return pwrite(b->memory, bytes, size, (off_t) address) == (ssize_t) size;
}

const struct point * breakpoint_point(const struct breakpoints * b, uint64_t address) {
    const struct point * found = NULL;
    for (const struct point_set * set = b->sets; set && !found; set = set->next) {
        found = points_find(set->points, address);
        found = found && found->armed ? found : NULL; /* Its library may have come back elsewhere. */
    }
    return found;
}

bool breakpoint_inside(const struct breakpoints * b, uint64_t address) {
    bool inside = false;
    for (const struct point_set * set = b->sets; set && !inside; set = set->next) {
        inside = points_inside(set->points, address);
    }
    return inside;
}

/* The scratch must be what it is taken for: zeros that nobody uses. */
static bool scratch_is_free(const struct breakpoints * b, const struct point_set * set) {
    static const uint8_t zeros[256];
    uint8_t bytes[256];
    for (uint32_t at = 0; at < set->scratch_bytes; at += sizeof bytes) {
        uint32_t left = set->scratch_bytes - at;
        uint32_t part = left < sizeof bytes ? left : sizeof bytes;
        if (!breakpoint_read(b, set->scratch + at, bytes, part) ||
            memcmp(bytes, zeros, part) != 0) {
            return false;
        }
    }
    return true;
}

static bool place_slot(struct breakpoints * b, struct point_set * set, struct point * point,
                       uint64_t at) {
    uint8_t code[CODE_BYTES] = {0}, slot[SLOT_BYTES];
    point->armed = 0;
    if (pread(b->memory, code, sizeof code, (off_t) point->address) < 1 || code[0] == INT3) {
        return false;
    }
    unsigned size = slot_build(code, point->address, at, slot);
    if (!size || at + size > set->scratch + set->scratch_bytes ||
        !breakpoint_write(b, at, slot, size)) {
        return false;
    }
    point->slot = at;
    point->slot_bytes = (uint8_t) size;
    set->used_end = at + size;
    point->original = code[0];
    return true;
}

/* The first set's scratch begins with the trampoline. */
static int place_trampoline(struct breakpoints * b, struct point_set * set) {
    uint8_t trap = INT3;
    if (b->placed) {
        return 0;
    }
    if (!breakpoint_write(b, set->used_end, &trap, 1)) {
        return errno ? errno : EIO;
    }
    b->trampoline = set->used_end++;
    b->placed = true;
    return 0;
}

/* Slots first: a thread may meet an int3 as soon as it is written. */
static int place_slots(struct breakpoints * b, struct point_set * set) {
    if (!scratch_is_free(b, set)) {
        set->unusable = true;
        return EBUSY;
    }
    set->used_end = (set->scratch + SLOT_BYTES - 1) & ~(uint64_t) (SLOT_BYTES - 1);
    int error = place_trampoline(b, set);
    for (uint32_t i = 0; i < set->points->count && !error; i++) {
        struct point * point = &set->points->rows[i];
        uint64_t at = (set->used_end + SLOT_ALIGNMENT - 1) & ~(uint64_t) (SLOT_ALIGNMENT - 1);
        if (!place_slot(b, set, point, at)) {
            point->slot = 0;
            b->refused++;
        }
    }
    return error;
}

static int arm_set(struct breakpoints * b, struct point_set * set) {
    uint8_t trap = INT3;
    int error = place_slots(b, set);
    if (error) {
        return error;
    }
    b->armed = true;
    for (uint32_t i = 0; i < set->points->count; i++) {
        struct point * point = &set->points->rows[i];
        if (point->slot && breakpoint_write(b, point->address, &trap, 1)) {
            point->armed = 1;
            b->armed_count++;
        }
    }
    return 0;
}

int breakpoints_arm(struct tracer * tracer) {
    struct breakpoints * b = tracer->breakpoints;
    int error = 0;
    if (!b || !b->sets) {
        return 0;
    }
    b->process = tracer->root;
    if (b->memory < 0) {
        b->memory = open_memory(tracer->root);
    }
    if (b->memory < 0) {
        return errno;
    }
    for (struct point_set * set = b->sets; set && !error; set = set->next) {
        error = set->used_end || set->unusable ? 0 : arm_set(b, set);
    }
    return error;
}

/* Whether our int3 is still there: the library may have been unloaded, and something else have its
 * place. */
static bool is_ours(int memory, uint64_t address) {
    uint8_t byte = 0;
    return pread(memory, &byte, 1, (off_t) address) == 1 && byte == INT3;
}

static void write_originals(const struct breakpoints * b, int memory) {
    for (const struct point_set * set = b->sets; set; set = set->next) {
        for (uint32_t i = 0; i < set->points->count; i++) {
            const struct point * point = &set->points->rows[i];
            if (point->armed && is_ours(memory, point->address)) {
                /* Nothing can be done when this fails: then the program has ended. */
                ssize_t done = pwrite(memory, &point->original, 1, (off_t) point->address);
                (void) done;
            }
        }
    }
}

/* Only what is certainly a slot of ours: the library that it lay in may have been unloaded. */
static void clear_slot(const struct point * point, int memory) {
    static const uint8_t zeros[SLOT_BYTES], jump[6] = {0xff, 0x25};
    uint8_t now[SLOT_BYTES];
    if (point->slot &&
        pread(memory, now, point->slot_bytes, (off_t) point->slot) == point->slot_bytes &&
        memcmp(now + point->slot_bytes - JUMP_BYTES, jump, sizeof jump) == 0) {
        ssize_t done = pwrite(memory, zeros, point->slot_bytes, (off_t) point->slot);
        (void) done;
    }
}

static void clear_scratch(const struct breakpoints * b, int memory) {
    for (const struct point_set * set = b->sets; set; set = set->next) {
        for (uint32_t i = 0; i < set->points->count; i++) {
            clear_slot(&set->points->rows[i], memory);
        }
    }
    if (is_ours(memory, b->trampoline)) {
        ssize_t done = pwrite(memory, "", 1, (off_t) b->trampoline);
        (void) done;
    }
}

void breakpoints_disarm(struct tracer * tracer) {
    struct breakpoints * b = tracer->breakpoints;
    if (b && b->armed) {
        write_originals(b, b->memory);
        b->armed = false;
    }
}

static bool shares_memory(const struct tracer * tracer, pid_t tid) {
    long answer = syscall(SYS_kcmp, tid, tracer->root, KCMP_VM, 0, 0);
    return answer >= 0 ? answer == 0 : task_process_of(tid) == tracer->root;
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

void breakpoint_newcomer(struct tracer * tracer, struct task * task) {
    struct breakpoints * b = tracer->breakpoints;
    if (!b || task->known) {
        return;
    }
    task->known = true;
    if (task->foreign || shares_memory(tracer, task->tid)) {
        return;
    }
    /* The child's stack is a copy of its parent's, with the return addresses replaced. */
    task->foreign = true;
    struct restoring restoring = {b, b->placed ? open_memory(task->tid) : -1};
    if (restoring.memory >= 0) {
        write_originals(b, restoring.memory);
        task_each(&tracer->tasks, restore_task, &restoring);
        clear_scratch(b, restoring.memory);
        close(restoring.memory);
    }
}

struct counting {
    struct tracer * tracer;
    const struct task * self;
    uint32_t others;
};

static void count_sharer(struct task * task, void * data) {
    struct counting * counting = data;
    counting->others +=
        task != counting->self && !task->foreign && shares_memory(counting->tracer, task->tid);
}

/* The last thread to leave cleans up; the others are safe, since nothing of ours is left in their
 * way. */
static void clear_when_last(struct tracer * tracer, const struct task * task) {
    struct breakpoints * b = tracer->breakpoints;
    struct counting counting = {tracer, task, 0};
    task_each(&tracer->tasks, count_sharer, &counting);
    if (!counting.others && b->placed) {
        /* Through a thread that is still ours: kernels may ask for that (proc_mem.force_override).
         */
        int memory = open_memory(task->tid);
        clear_scratch(b, memory < 0 ? b->memory : memory);
        b->placed = false;
        if (memory >= 0) {
            close(memory);
        }
    }
}

void breakpoint_gone(struct tracer * tracer, struct task * task) {
    breakpoint_ended(tracer, task);
    if (tracer->breakpoints && tracer->detaching && !task->foreign) {
        clear_when_last(tracer, task);
    }
}

static void forget_frames(struct task * task, void * data) {
    struct tracer * tracer = data;
    if (!task->foreign) {
        breakpoint_ended(tracer, task);
    }
}

static void free_sets(struct breakpoints * b) {
    while (b->sets) {
        struct point_set * set = b->sets;
        b->sets = set->next;
        points_free(set->points);
        free(set);
    }
}

void breakpoint_exec(struct tracer * tracer, struct task * task) {
    struct breakpoints * b = tracer->breakpoints;
    if (!b || task->foreign) {
        return;
    }
    task->known = true;
    if (task->pid != tracer->root) {
        task->foreign = true; /* A vfork child, which has left its parent's memory. */
        return;
    }
    task_each(&tracer->tasks, forget_frames, tracer);
    if (b->memory >= 0) {
        close(b->memory);
    }
    b->memory = -1;
    b->armed = false;
    b->placed = false;
    free_sets(b);
}

void breakpoint_ended(struct tracer * tracer, struct task * task) {
    struct frames * frames = task->frames;
    for (uint32_t i = 0; frames && i < frames->count; i++) {
        frame_lost(tracer, task, &frames->rows[i]);
    }
    frames_free(frames);
    task->frames = NULL;
}

void breakpoint_left(struct tracer * tracer, struct task * task) {
    struct breakpoints * b = tracer->breakpoints;
    frames_restore(b, task->frames, b->memory);
    breakpoint_ended(tracer, task);
    clear_when_last(tracer, task);
}

void breakpoints_free(struct breakpoints * b) {
    if (b) {
        if (b->memory >= 0) {
            close(b->memory);
        }
        free_sets(b);
        free(b);
    }
}

int tracer_breakpoints(struct tracer * tracer, struct points * points, uint64_t scratch,
                       uint32_t bytes) {
#if defined(__x86_64__)
    struct breakpoints * b = tracer->breakpoints;
    struct point_set * set = calloc(1, sizeof *set);
    if (!b && (b = calloc(1, sizeof *b))) {
        b->memory = -1;
        tracer->breakpoints = b;
    }
    if (!b || !set) {
        free(set);
        return ENOMEM;
    }
    struct point_set ** end = &b->sets;
    while (*end) {
        end = &(*end)->next;
    }
    *set = (struct point_set) {points, scratch, bytes, 0, false, NULL};
    __atomic_store_n(end, set, __ATOMIC_RELEASE);
    return 0;
#else
    (void) tracer, (void) points, (void) scratch, (void) bytes;
    return ENOSYS;
#endif
}

uint32_t tracer_points_gone(struct tracer * tracer, uint64_t * addresses, uint32_t most) {
    struct breakpoints * b = tracer->breakpoints;
    uint32_t count = 0;
    for (struct point_set * set = b ? b->sets : NULL; set; set = set->next) {
        for (uint32_t i = 0; i < set->points->count && count < most; i++) {
            struct point * point = &set->points->rows[i];
            if (point->armed && !is_ours(b->memory, point->address)) {
                point->armed = 0;
                addresses[count++] = point->address;
            }
        }
    }
    return count;
}

void tracer_breakpoint_state(struct tracer * tracer, struct breakpoint_state * state) {
    const struct breakpoints * b = tracer->breakpoints;
    memset(state, 0, sizeof *state);
    state->error = tracer->boundary_error;
    if (b) {
        *state = (struct breakpoint_state) {
            b->armed, tracer->boundary_error, b->armed_count, b->refused, b->hits,
            b->inner, b->unrecorded};
    }
}
