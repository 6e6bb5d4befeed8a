/* The sets of functions: their slots in the program, their int3s, and how both are taken out. */
#define _GNU_SOURCE
#include "breakpoint/breakpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_BYTES 16
#define SLOT_ALIGNMENT 8

int breakpoint_memory(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int) pid);
    return open(path, O_RDWR | O_CLOEXEC);
}

const struct point * breakpoint_point(const struct breakpoints * b, uint64_t address) {
    const struct point * found = NULL;
    for (const struct point_set * set = b->sets; set && !found; set = set->next) {
        found = points_find(set->points, address);
        found =
            found && found->armed ? found : NULL; /* Its library may have come back elsewhere. */
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

int breakpoints_arm(struct program * program) {
    struct breakpoints * b = program->breakpoints;
    int error = 0;
    if (!b || !b->sets) {
        return 0;
    }
    b->process = program->root;
    if (b->memory < 0) {
        b->memory = breakpoint_memory(program->root);
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

void breakpoint_write_originals(const struct breakpoints * b, int memory) {
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

void breakpoint_clear_scratch(const struct breakpoints * b, int memory) {
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

void breakpoint_free_sets(struct breakpoints * b) {
    while (b->sets) {
        struct point_set * set = b->sets;
        b->sets = set->next;
        points_free(set->points);
        free(set);
    }
}

int program_breakpoints(struct program * program, struct points * points, uint64_t scratch,
                        uint32_t bytes) {
#if defined(__x86_64__)
    struct breakpoints * b = program->breakpoints;
    struct point_set * set = calloc(1, sizeof *set);
    if (!b && (b = calloc(1, sizeof *b))) {
        b->memory = -1;
        program->breakpoints = b;
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
    (void) program, (void) points, (void) scratch, (void) bytes;
    return ENOSYS;
#endif
}

uint32_t program_points_gone(struct program * program, uint64_t * addresses, uint32_t most) {
    struct breakpoints * b = program->breakpoints;
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
