// The one part of reading a GGUF header that is too slow in Python: a vocabulary is 50,000 to
// 500,000 strings, each as far on as its own length says.
#pragma once
#include <stdint.h>

enum {
    LLAMACTL_GGUF_OK,
    LLAMACTL_GGUF_ENDS,   // a length or a string reaches past the end of the file
    LLAMACTL_GGUF_BUDGET, // more was to be read than the caller allows
    LLAMACTL_GGUF_READ,   // pread failed; `error` holds errno
};

struct llamactl_gguf_walk {
    uint64_t offset; // in: where the first string begins; out: behind the last, or the one at fault
    uint64_t done;   // out: strings walked over
    uint64_t budget; // in and out: bytes that may still be read
    int error;
};

// Walks over `count` strings (u64 length, then the bytes) of the file, whose length is `end`.
int llamactl_gguf_skip_strings(int fd, uint64_t end, uint64_t count,
                               struct llamactl_gguf_walk * walk);
