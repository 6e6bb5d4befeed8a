// Reads with pread into a small window: a file that shrinks meanwhile is a short read, where a
// mapping would be SIGBUS, and no length in the file decides how much memory is used.
#define _GNU_SOURCE
#include "snapshot/gguf.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_SIZE = 64 * 1024, LENGTH_SIZE = sizeof(uint64_t) };

struct window {
    uint64_t begin;
    uint64_t end;
    unsigned char bytes[WINDOW_SIZE];
};

// Makes the 8 bytes at `offset` readable in the window.
static int fill(int fd, uint64_t file_end, struct window * window,
                struct llamactl_gguf_walk * walk) {
    uint64_t left = file_end - walk->offset;
    size_t want = left < WINDOW_SIZE ? (size_t) left : WINDOW_SIZE;
    if (want > walk->budget) {
        return LLAMACTL_GGUF_BUDGET;
    }
    ssize_t n;
    do {
        n = pread(fd, window->bytes, want, (off_t) walk->offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        walk->error = errno;
        return LLAMACTL_GGUF_READ;
    }
    walk->budget -= (uint64_t) n;
    window->begin = walk->offset;
    window->end = walk->offset + (uint64_t) n;
    return n < LENGTH_SIZE ? LLAMACTL_GGUF_ENDS : LLAMACTL_GGUF_OK;
}

int llamactl_gguf_skip_strings(int fd, uint64_t end, uint64_t count,
                               struct llamactl_gguf_walk * walk) {
    struct window window;
    window.begin = window.end = walk->offset;
    for (walk->done = 0; walk->done < count; walk->done++) {
        if (walk->offset > end || end - walk->offset < LENGTH_SIZE) {
            return LLAMACTL_GGUF_ENDS;
        }
        if (walk->offset < window.begin || window.end < LENGTH_SIZE ||
            walk->offset > window.end - LENGTH_SIZE) {
            int status = fill(fd, end, &window, walk);
            if (status != LLAMACTL_GGUF_OK) {
                return status;
            }
        }
        uint64_t length;
        memcpy(&length, window.bytes + (walk->offset - window.begin), LENGTH_SIZE);
        if (length > end - walk->offset - LENGTH_SIZE) {
            return LLAMACTL_GGUF_ENDS;
        }
        walk->offset += LENGTH_SIZE + length;
    }
    return LLAMACTL_GGUF_OK;
}
