/* System calls from BPF programs of our own: what the programs and the reading thread share. */
#ifndef LLAMACTL_BPF_CALLS_H
#define LLAMACTL_BPF_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ring.h"
#include "common/selection.h"
#include "common/texts.h"

struct code;

#define CALL_THREADS 16384
#define CALL_NUMBERS 1024
#define CALL_LINKS 5

enum phase {
    PHASE_IDLE,
    PHASE_IN,      /* inside a call that is recorded */
    PHASE_SKIPPED, /* inside one that isn't */
    PHASE_DORMANT, /* not before its exec */
};

/* What the kernel keeps for each thread that is followed; it ends as the record. */
struct call_state {
    struct record record; /* `text`: a bit for each string that was sent */
    uint32_t phase;
    uint32_t todo;      /* a bit for each string that is to be read when the call returns */
    uint64_t unused[3]; /* so that any argument number up to 7 stays inside */
};

/* What to do at one system call. */
struct call_rule {
    uint8_t selected;
    uint8_t texts; /* there are strings to be read */
    uint8_t once;  /* they are gone when the call returns (execve) */
    uint8_t unused[5];
    struct text_part part[2];
};

_Static_assert(sizeof(struct call_rule) % 8 == 0, "the kernel's arrays hold multiples of 8 bytes");

/* A string on its way, before the record that it belongs to. */
struct call_text {
    uint8_t kind; /* RECORD_TEXT */
    uint8_t part;
    uint16_t unused;
    int32_t tid;
    uint32_t length;
    uint32_t unused2;
    uint8_t bytes[];
};

#define RECORD_TEXT 255
#define TEXT_SCRATCH 8192

struct call_maps {
    int states; /* hash: thread -> struct call_state */
    int rules;  /* array: number -> struct call_rule */
    int scratch;
    int ring;
    int lost; /* array of one counter */
};

struct call_tracing {
    struct sink * sink;        /* where records go */
    struct task_table * tasks; /* whose strings are on their way */
    const struct selection * selection;
    struct call_maps maps;
    int links[CALL_LINKS];
    uint64_t * consumer; /* how far the ring has been read: one page, shared with the kernel */
    uint64_t * producer; /* how far it has been filled */
    struct ring ring;
    uint64_t scanned; /* up to here all entries are whole */
    volatile uint64_t * lost;
    uint64_t lost_told;
};

/* The programs; each returns false when it doesn't fit. pid_offset: of `pid` in task_struct. */
bool program_enter(struct code * c, const struct call_maps * maps);
bool program_exit(struct code * c, const struct call_maps * maps);
bool program_fork(struct code * c, const struct call_maps * maps, uint32_t pid_offset);
bool program_exec(struct code * c, const struct call_maps * maps);
bool program_death(struct code * c, const struct call_maps * maps);

/* Where a member of a kernel struct lies, by the kernel's own types (BTF); -errno. */
int btf_offset(const char * structure, const char * member);

/* Loads and attaches everything; NULL with -errno in `error`. The rest is theirs who call, and must
 * outlive it. */
struct call_tracing * calls_open(struct sink * sink, struct task_table * tasks,
                                 const struct selection * selection, uint32_t ring_bytes,
                                 int * error);
/* Follows a thread; dormant: from its exec on. 0 or -errno. */
int calls_add(struct call_tracing * calls, int tid, bool dormant);
/* The thread after `after` (NULL: the first) and its state; false at the end. */
bool calls_next(struct call_tracing * calls, const int * after, int * tid,
                struct call_state * state);
/* No call is recorded any more once this returns. while_running: there may be threads left. */
void calls_detach(struct call_tracing * calls, bool while_running);
void calls_close(struct call_tracing * calls);
/* How its ring is read. */
extern const struct ring_kind calls_ring;
/* Records the calls that never returned. */
void calls_flush(struct call_tracing * calls);

#endif
