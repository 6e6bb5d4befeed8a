/* A ring that the kernel fills, as the one who reads several of them in the order of time sees it.
 */
#ifndef LLAMACTL_COMMON_RING_H
#define LLAMACTL_COMMON_RING_H

#include <stdint.h>

struct ring;

/* What differs between the rings of perf and of our BPF programs. */
struct ring_kind {
    /* How far it has been filled with whole entries. */
    uint64_t (*head)(struct ring * ring);
    /* When the entry at its position happened; scratch has room for the largest one. */
    uint64_t (*time)(struct ring * ring, uint8_t * scratch);
    /* Turns that entry into records; returns how many bytes of the ring it took. */
    uint32_t (*take)(struct ring * ring, uint8_t * scratch);
    /* Tells the kernel how far it has been read; returns how many entries it has lost since. */
    uint64_t (*release)(struct ring * ring);
};

struct ring {
    const struct ring_kind * kind;
    void * owner;
    uint8_t * data; /* NULL: it isn't there */
    uint64_t size;
    uint64_t position; /* how far it has been read */
    uint64_t must;     /* read at least up to here */
    uint64_t may;      /* read at most up to here */
    uint64_t next_time;
};

#endif
