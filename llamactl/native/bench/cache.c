// How much of a file is in the page cache (mincore(2)); the mapping itself reads nothing.
#define _GNU_SOURCE
#include "bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t count_resident(const unsigned char * pages, uint64_t n_pages) {
    uint64_t resident = 0;
    for (uint64_t i = 0; i < n_pages; i++) {
        resident += pages[i] & 1;
    }
    return resident;
}

int64_t llamactl_resident_bytes(int fd, uint64_t size) {
    uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    uint64_t n_pages = (size + page - 1) / page;
    if (n_pages == 0) {
        return 0;
    }
    void * start = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED) {
        return -errno;
    }
    unsigned char * pages = malloc(n_pages);
    int64_t result = -ENOMEM;
    if (pages != NULL) {
        result = mincore(start, size, pages) ? -errno
                                             : (int64_t) (count_resident(pages, n_pages) * page);
    }
    free(pages);
    munmap(start, size);
    return result > (int64_t) size ? (int64_t) size : result;
}
