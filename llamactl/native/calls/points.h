/* Calls seen from outside, by breakpoints or uprobes: where they are caught and what is kept of
 * them. */
#ifndef LLAMACTL_BOUNDARY_H
#define LLAMACTL_BOUNDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls/table.h"
#include "common/frames.h"

/* Read at a function's entry: the return address, and structures passed by value behind it. */
#define STACK_BYTES 128
#define STACK_WORDS (STACK_BYTES / 8)

struct points {
    uint32_t count;
    uint32_t range_count;
    struct point * rows; /* by address */
    struct address_range * ranges;
};

/* Registers and stack at a function's entry. */
struct entry_state {
    uint64_t integers[6];
    uint64_t stack_pointer;
    uint64_t stack[STACK_WORDS];
    uint32_t stack_bytes; /* how much of the stack could be read */
    uint32_t floats[8];   /* the low halves of the vector registers, where they are known */
};

const struct point * points_find(const struct points * points, uint64_t address);
/* Whether the address is in llama.cpp itself, so that a call from there is none of the program's.
 */
bool points_inside(const struct points * points, uint64_t address);

void frame_keep(struct frame * frame, const struct entry_state * state);

#endif
