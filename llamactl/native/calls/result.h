/* What a call returned. */
#ifndef LLAMACTL_CALLS_RESULT_H
#define LLAMACTL_CALLS_RESULT_H

#include <stdint.h>

/* The result as its type says; 0 for what has none or is hidden. low_float: of the first vector
 * register. */
static inline int64_t result_of(char type, uint64_t value, uint32_t low_float) {
    switch (type) {
    case 'i':
        return (int32_t) value;
    case 'u':
        return (uint32_t) value;
    case 'b':
        return (uint8_t) value;
    case 'l':
    case 'p':
        return (int64_t) value;
    case 'f':
        return low_float;
    default:
        return 0;
    }
}

#endif
