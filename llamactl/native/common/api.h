/* What Python sees of the blocks of records, and of what a record keeps. */
#ifndef LLAMACTL_COMMON_API_H
#define LLAMACTL_COMMON_API_H

#include <stdint.h>

struct record;

/* A filled block. References to strings are offsets in its own strings plus one. */
struct sink_block {
    struct record * records;
    uint8_t * strings;
    uint32_t count;
    uint32_t string_bytes;
    struct sink_block * next;
};

/* Which arguments of a native system call a record keeps texts of: two of each; 0 when none. */
int text_rule(uint32_t nr, uint8_t * kinds, uint8_t * arguments, uint16_t * sizes);
/* The native ABI as AUDIT_ARCH_ value; 0 when unknown. */
uint32_t audit_arch(void);

#endif
