/* Which system calls are asked for. */
#ifndef LLAMACTL_COMMON_SELECTION_H
#define LLAMACTL_COMMON_SELECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/arch.h"

#define SELECT_BYTES 128 /* one bit for each of 1024 system calls */

struct selection {
    bool everything;
    uint8_t bits[SELECT_BYTES];
};

/* bits: NULL for all. */
static inline struct selection selection_of(const uint8_t * bits) {
    struct selection selection = {.everything = !bits};
    if (bits) {
        memcpy(selection.bits, bits, SELECT_BYTES);
    }
    return selection;
}

/* Of the native ABI. A number beyond the bits is better one too many than one lost. */
static inline bool selects(const struct selection * selection, uint64_t nr) {
    return selection->everything || nr >= SELECT_BYTES * 8 ||
           selection->bits[nr >> 3] & (1u << (nr & 7));
}

/* Whether a new thread comes out of this call of its parent's. */
static inline bool is_birth(int64_t nr) {
    switch (nr) {
#ifdef SYS_fork
    case SYS_fork:
    case SYS_vfork:
#endif
    case SYS_clone:
    case NR_CLONE3:
        return true;
    default:
        return false;
    }
}

#endif
