/* What GCC may call for a structure that it copies or clears, also in a freestanding program: there
 * is no libc here. On x86-64 it writes such code in place; on aarch64 it calls memset. Compiled
 * with -fno-tree-loop-distribute-patterns, or each of these loops would become a call to itself. */
#include <stddef.h>

void * memset(void * to, int value, size_t length) {
    unsigned char * bytes = to;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (unsigned char) value;
    }
    return to;
}

void * memcpy(void * restrict to, const void * restrict from, size_t length) {
    unsigned char * bytes = to;
    const unsigned char * source = from;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = source[i];
    }
    return to;
}
