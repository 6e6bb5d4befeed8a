/* What Python says of the functions whose calls are to be caught. boundary.cdef says the same to
 * CFFI. */
#ifndef LLAMACTL_BOUNDARY_API_H
#define LLAMACTL_BOUNDARY_API_H

#include <stdint.h>

#define POINT_KEEPS 4

/* Sources of arguments, as in agent/agent.h: 1 register, 2 its low half, 3 and 4 the stack, 5
 * float, 6 string, 7 the stack, one of two pointers. */
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
    uint8_t source[POINT_KEEPS];
    uint8_t index[POINT_KEEPS];
};

struct address_range {
    uint64_t start;
    uint64_t end;
};

/* A row of the agent's table. */
struct point_row {
    char returns;
    uint8_t count;
    uint8_t source[POINT_KEEPS];
    uint8_t index[POINT_KEEPS];
    const char * label[POINT_KEEPS];
};

struct points;
typedef struct points points_t;

struct points * points_new(const struct point * rows, uint32_t count,
                           const struct address_range * ranges, uint32_t range_count);
void points_free(struct points * points);
/* 1 when the table has a row for the function in a library that exports these names (NULL at the
 * end). */
int points_role(const char * name);
int points_row(const char * name, const char * const * exports, struct point_row * row);

#endif
