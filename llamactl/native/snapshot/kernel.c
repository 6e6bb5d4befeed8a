#define _GNU_SOURCE
#include "snapshot/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// ---- the page cache of a file ----

#ifndef SYS_cachestat
#define SYS_cachestat 451 // the same number on every architecture
#endif

struct cachestat_range {
    uint64_t offset;
    uint64_t length;
};

struct cachestat_result {
    uint64_t cached;
    uint64_t dirty;
    uint64_t writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
};

int llamactl_cachestat(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out) {
    struct cachestat_range range = {offset, length};
    struct cachestat_result result = {0};
    if (syscall(SYS_cachestat, fd, &range, &result, 0) != 0) {
        return errno;
    }
    out->cached = (int64_t) result.cached;
    out->dirty = (int64_t) result.dirty;
    out->writeback = (int64_t) result.writeback;
    out->evicted = (int64_t) result.evicted;
    out->recently_evicted = (int64_t) result.recently_evicted;
    return 0;
}

enum { MINCORE_PAGES = 32 * 1024 };

static bool mincore_tells(int fd, const struct stat * file) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return geteuid() == file->st_uid || faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

static int mincore_piece(int fd, uint64_t offset, size_t length, size_t page, int64_t * cached) {
    unsigned char resident[MINCORE_PAGES];
    void * piece = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t) offset);
    if (piece == MAP_FAILED) {
        return errno;
    }
    int error = mincore(piece, length, resident) == 0 ? 0 : errno;
    munmap(piece, length);
    for (size_t i = 0; error == 0 && i < (length + page - 1) / page; i++) {
        *cached += resident[i] & 1;
    }
    return error;
}

int llamactl_mincore(int fd, uint64_t offset, uint64_t length, struct llamactl_file_pages * out) {
    struct stat file;
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    if (fstat(fd, &file) != 0) {
        return errno;
    }
    if (!mincore_tells(fd, &file)) {
        return EPERM;
    }
    uint64_t end = (uint64_t) file.st_size;
    if (length != 0 && offset < end && length < end - offset) {
        end = offset + length;
    }
    offset -= offset % page;
    *out = (struct llamactl_file_pages) {0, -1, -1, -1, -1};
    while (offset < end) {
        uint64_t left = end - offset;
        size_t piece = left < MINCORE_PAGES * page ? (size_t) left : MINCORE_PAGES * page;
        int error = mincore_piece(fd, offset, piece, page, &out->cached);
        if (error != 0) {
            return error;
        }
        offset += piece;
    }
    return 0;
}

// ---- a file's birth ----

int64_t llamactl_birth_ns(const char * path) {
    struct statx file;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_BTIME, &file) != 0) {
        return -errno;
    }
    if (!(file.stx_mask & STATX_BTIME)) {
        return 0;
    }
    return file.stx_btime.tv_sec * INT64_C(1000000000) + file.stx_btime.tv_nsec;
}

// ---- the pages of a mapping ----

enum {
    PAGE_FILE = 1 << 2,
    PAGE_PRESENT = 1 << 3,
    PAGE_SWAPPED = 1 << 4,
    PAGE_ZERO = 1 << 5,
    PAGE_HUGE = 1 << 6,
    SCAN_REGIONS = 512,
};

struct scan_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct scan_argument {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t regions;
    uint64_t capacity;
    uint64_t max_pages;
    uint64_t inverted;
    uint64_t all_of;
    uint64_t any_of;
    uint64_t returned;
};

#define LLAMACTL_PAGEMAP_SCAN _IOWR('f', 16, struct scan_argument)

static void add_region(const struct scan_region * region, struct llamactl_range_bytes * out) {
    uint64_t size = region->end - region->start;
    if (region->categories & PAGE_SWAPPED) {
        out->swapped += size;
    }
    if (region->categories & PAGE_ZERO) {
        out->zero += size;
    } else if (region->categories & PAGE_PRESENT) {
        out->present += size;
        out->file += region->categories & PAGE_FILE ? size : 0;
        out->huge += region->categories & PAGE_HUGE ? size : 0;
    }
}

int llamactl_pagemap_scan(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out) {
    struct scan_region regions[SCAN_REGIONS];
    struct scan_argument scan = {
        .size = sizeof scan,
        .start = start,
        .end = end,
        .regions = (uintptr_t) regions,
        .capacity = SCAN_REGIONS,
        .any_of = PAGE_PRESENT | PAGE_SWAPPED,
        .returned = PAGE_FILE | PAGE_PRESENT | PAGE_SWAPPED | PAGE_ZERO | PAGE_HUGE,
    };
    memset(out, 0, sizeof *out);
    while (scan.start < end) {
        int n = ioctl(fd, LLAMACTL_PAGEMAP_SCAN, &scan);
        if (n < 0) {
            return errno;
        }
        for (int i = 0; i < n; i++) {
            add_region(&regions[i], out);
        }
        if (scan.walk_end <= scan.start) {
            return EIO;
        }
        scan.start = scan.walk_end;
    }
    return 0;
}

// Documentation/admin-guide/mm/pagemap.rst
#define ENTRY_FILE (1ULL << 61)
#define ENTRY_SWAPPED (1ULL << 62)
#define ENTRY_PRESENT (1ULL << 63)
enum { READ_ENTRIES = 4096 };

int llamactl_pagemap_read(int fd, uint64_t start, uint64_t end, struct llamactl_range_bytes * out) {
    uint64_t entries[READ_ENTRIES];
    const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
    memset(out, 0, sizeof *out);
    for (uint64_t number = start / page, last = (end + page - 1) / page; number < last;) {
        uint64_t want = last - number < READ_ENTRIES ? last - number : READ_ENTRIES;
        ssize_t n = pread(fd, entries, want * sizeof *entries, (off_t) (number * sizeof *entries));
        if (n < 0) {
            return errno;
        }
        if (n < (ssize_t) sizeof *entries) {
            return ESRCH; // the process is gone, or the range is above its address space
        }
        uint64_t got = (uint64_t) n / sizeof *entries;
        for (uint64_t i = 0; i < got; i++) {
            out->swapped += entries[i] & ENTRY_SWAPPED ? page : 0;
            out->present += entries[i] & ENTRY_PRESENT ? page : 0;
            out->file += (entries[i] & ENTRY_PRESENT) && (entries[i] & ENTRY_FILE) ? page : 0;
        }
        number += got;
    }
    return 0;
}
