/* What Python says of the functions whose calls are to be caught. */
#ifndef LLAMACTL_CALLS_API_H
#define LLAMACTL_CALLS_API_H

#include <stdint.h>

enum { KEEP_MAX = 4 };

/* Where an argument lies at a function's entry. */
enum source {
    NOTHING,
    REGISTER,
    REGISTER_32,
    STACK_64,
    STACK_32,
    FLOAT_REGISTER,
    STRING,
    STACK_EITHER, /* a pointer or, when it is NULL, the next one with the topmost bit set */
    TOLD,         /* no argument: the agent writes it when the call returns */
};

struct point {
    uint64_t address;
    uint64_t slot; /* where its first instruction is executed instead; filled in by us */
    uint16_t nr;
    uint8_t original; /* the byte that the breakpoint replaces; filled in by us */
    uint8_t armed;
    char returns;
    uint8_t unwinds; /* it walks the stack, so the stack must be as the program made it */
    uint8_t slot_bytes;
    uint8_t always;  /* also when llama.cpp itself calls it: its result is wanted */
    uint8_t endless; /* uprobes: its return isn't waited for */
    uint8_t looks;   /* the dynamic linker calls it when libraries have come or gone */
    uint8_t role;    /* what its result says of a buffer (handed_out.h) */
    uint8_t count;
    uint8_t source[KEEP_MAX]; /* enum source */
    uint8_t index[KEEP_MAX];
};

struct address_range {
    uint64_t start;
    uint64_t end;
};

/* A row of the table. */
struct point_row {
    char returns;
    uint8_t count;
    uint8_t source[KEEP_MAX];
    uint8_t index[KEEP_MAX];
    const char * label[KEEP_MAX];
};

struct points;

struct points * points_new(const struct point * rows, uint32_t count,
                           const struct address_range * ranges, uint32_t range_count);
void points_free(struct points * points);
/* What the function's result says of a buffer (handed_out.h). */
int points_role(const char * name);
/* 1 when the table has a row for the function in a library that exports these names (NULL at the
 * end). */
int points_row(const char * name, const char * const * exports, struct point_row * row);

/* Functions that do nothing, to measure what a uprobe costs (probe_loop.c). */
enum { PROBE_EMULATED, PROBE_MARKED, PROBE_STEPPED };
const void * probe_function(int which);
/* Calls the function so often; returns ns. */
uint64_t probe_loop(int which, uint32_t loops);

#endif
