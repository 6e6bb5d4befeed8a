// What the agent and llamactl share: memory without a name (a sealed memfd), mapped by both, no
// locks.
//
// llamactl creates it (llamactl/trace/record/agent/ring.py writes this header and must agree with
// it) and reads; every traced process, with its children, writes. Offsets are from its beginning.
// Neither side believes the other: see docs/threat-model.md.
#ifndef LLAMACTL_AGENT_RING_H
#define LLAMACTL_AGENT_RING_H

#include <stdint.h>

#include "common/record.h"

#define RING_MAGIC 0x31676E6952616C6Cull // "llaRing1"
#define RING_VERSION 3
// llamactl's process, the descriptor in it, the inode and the key in the header, hexadecimal.
#define RING_ENV "LLAMACTL_AGENT_RING="
#define RING_LIMIT (16u << 20)
#define MAX_THREADS 256
#define MAX_DEPTH 16
#define MAX_SITES 4096

// GIL_CALLED_BACK: llama.cpp called Python in the middle of a call; from when it asked for the GIL.
enum { GIL_RELEASED = 0, GIL_WAITED = 1, GIL_CALLED_BACK = 2 };
// One function as one caller sees it: (name, calling object, library, how it was bound).
struct site {
    uint64_t hash;
    uint32_t name; // references into the arena: offset plus one
    uint32_t caller;
    uint32_t library;
    uint32_t keeps; // "label:type …", see calls/table.c
    uint16_t via;
    uint16_t returns; // a letter of calls/table.c, 0 for unknown
    uint32_t ready;
};
_Static_assert(sizeof(struct site) == 32, "the reader's layout");
// VIA_ENGINE: the engine's libraries among themselves; no call of the program's.
enum { VIA_PLT = 0, VIA_DLSYM = 1, VIA_INNER = 2, VIA_ENGINE = 3 };

// Calls of a site, or releases and waits of the GIL, that were counted in place of a record since
// the ring was too full for cheap ones.
struct count {
    uint64_t calls;
    uint64_t ns;
};

// One thread of one process. Calls in progress lie here, so they are known even after SIGKILL.
struct thread_slot {
    uint64_t owner; // pid << 32 | tid, 0 when free
    uint32_t depth;
    uint32_t released; // the GIL was let go at `released_at` and isn't back yet
    uint64_t released_at;
    uint32_t place;
    uint32_t unused[9];
    struct record frames[MAX_DEPTH];
};
_Static_assert(sizeof(struct thread_slot) == 64 + 96 * MAX_DEPTH, "the reader's layout");

struct ring_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size;
    uint64_t size;
    uint64_t records; // offsets of the parts
    uint64_t arena;
    uint64_t sites;
    uint64_t threads;
    uint64_t counts;
    uint64_t key;      // what the environment says, too: nobody else can offer another ring
    uint32_t capacity; // records, a power of two
    uint32_t arena_size;

    _Alignas(64) uint64_t head; // next record to be claimed
    _Alignas(64) uint64_t tail; // next record to be read: the reader's
    _Alignas(64) uint64_t lost_full;
    uint64_t lost_threads; // calls of threads beyond MAX_THREADS
    uint64_t lost_depth;   // calls nested deeper than MAX_DEPTH
    uint64_t lost_sites;   // functions that found no room in a table; their calls aren't seen
    uint64_t lost_texts;   // strings that found no room in the arena
    uint32_t arena_used;
    uint32_t sites_used;
    uint32_t processes;     // how many processes have opened the ring
    uint32_t free_threaded; // how many of them run a Python without a GIL
    uint32_t python;        // Py_Version of the last Python seen, 1 when it is older than 3.11
    uint32_t watch;         // llamactl's: ask for buffers to be watched
};

#endif
