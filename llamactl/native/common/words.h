/* Strings without a libc. */
#ifndef LLAMACTL_COMMON_WORDS_H
#define LLAMACTL_COMMON_WORDS_H

#include <stddef.h>

static inline size_t text_length(const char * text, size_t limit) {
    size_t n = 0;
    while (n < limit && text[n]) {
        n++;
    }
    return n;
}

static inline int same_text(const char * a, const char * b) {
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static inline int begins_with(const char * text, const char * prefix) {
    while (*prefix && *text == *prefix) {
        text++;
        prefix++;
    }
    return !*prefix;
}

#endif
