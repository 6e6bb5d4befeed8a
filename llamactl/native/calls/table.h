/* What is kept of each function's arguments, for the agent and for who catches calls from outside.
 * Without a libc. */
#ifndef LLAMACTL_CALLS_TABLE_H
#define LLAMACTL_CALLS_TABLE_H

#include <stdint.h>

#include "calls/api.h"

#define OTHER_POINTER (1ull << 63)

struct keep {
    const char * label; /* "name:type" */
    uint8_t source;
    uint8_t index;   /* register number, or bytes from the beginning of the structure */
    uint8_t pointer; /* aarch64 passes the structure's address instead: the register it is in */
};

struct row {
    const char * name;
    const char * needs; /* another symbol that the library must export for this row, or NULL */
    char returns;
    uint8_t heavy; /* also keep faults, context switches and CPU time of the call */
    struct keep keeps[KEEP_MAX];
};

typedef int exports_function(const void * library, const char * name);

const struct row * table_find(const char * name, exports_function * exports, const void * library);
/* enum role: what the result says of a buffer. */
int table_role(const char * name);

/* What the engine's libraries tell each other. */
enum tells {
    TELLS_NOTHING,
    TELLS_WAIT,    /* for what was computed */
    TELLS_TENSORS, /* the result is a buffer for the tensors of the first argument */
    TELLS_BUFFER,  /* the result is a buffer */
    TELLS_COMPUTE, /* the first argument is a scheduler, which may have other buffers now */
    TELLS_FREED,
};
enum tells table_tells(const char * name);

#endif
