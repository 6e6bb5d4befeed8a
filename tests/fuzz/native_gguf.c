// libFuzzer: the strings of a GGUF header, walked in C over a file of any bytes.
#define _GNU_SOURCE
#include "snapshot/gguf.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    static int fd = -1;
    uint64_t count;
    if (size < sizeof count) {
        return 0;
    }
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
    }
    memcpy(&count, data, sizeof count);
    if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t) size) {
        return 0;
    }
    struct llamactl_gguf_walk walk = {.offset = sizeof count, .budget = 1 << 20};
    int status = llamactl_gguf_skip_strings(fd, size, count, &walk);
    if (status == LLAMACTL_GGUF_OK && walk.offset > size) {
        __builtin_trap();
    }
    return 0;
}
