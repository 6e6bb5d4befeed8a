// The two long lists of a process: tens of thousands of mappings and descriptors are read here and
// handed over as columns of numbers, because a Python statement for each line takes longer than the
// kernel needs to write it.
#define _GNU_SOURCE
#include "snapshot/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- mappings ----

// The lines of smaps that are kept, in the order of the columns after the first nine.
static const char * const MEASURES[] = {
    "Rss:",           "Pss:",       "Shared_Clean:",   "Shared_Dirty:",   "Private_Clean:",
    "Private_Dirty:", "Anonymous:", "AnonHugePages:",  "Shared_Hugetlb:", "Private_Hugetlb:",
    "Swap:",          "Locked:",    "KernelPageSize:",
};
enum {
    START,
    END,
    PERMISSIONS,
    OFFSET,
    DEVICE,
    INODE,
    PATH_AT,
    PATH_END,
    HUGE_PAGES,
    FIRST_MEASURE,
    MEASURE_COUNT = sizeof MEASURES / sizeof *MEASURES,
};
_Static_assert(FIRST_MEASURE + MEASURE_COUNT == LLAMACTL_MAPPING_COLUMNS, "columns of a mapping");

// Numbers wrap: what the kernel writes fits, and a damaged text may say anything.
static uint64_t decimal(const char * at, const char * end) {
    uint64_t value = 0;
    while (at < end && *at == ' ') {
        at++;
    }
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t) (*at - '0');
    }
    return value;
}

static const char * hexadecimal(const char * at, const char * end, int64_t * out) {
    uint64_t value = 0;
    for (; at < end; at++) {
        if (*at >= '0' && *at <= '9') {
            value = value * 16 + (uint64_t) (*at - '0');
        } else if (*at >= 'a' && *at <= 'f') {
            value = value * 16 + (uint64_t) (*at - 'a') + 10;
        } else {
            break;
        }
    }
    *out = (int64_t) value;
    return at < end ? at + 1 : end;
}

// "start-end perms offset major:minor inode   path"; permissions are five bits, r w x and s
// (shared).
static void read_header(const char * data, const char * line, const char * end, int64_t * row[]) {
    int64_t major, minor;
    const char * at = hexadecimal(line, end, row[START]);
    at = hexadecimal(at, end, row[END]);
    if (end - at < 5) {
        return;
    }
    *row[PERMISSIONS] =
        (at[0] == 'r') | (at[1] == 'w') << 1 | (at[2] == 'x') << 2 | (at[3] == 's') << 3;
    at = hexadecimal(at + 5, end, row[OFFSET]);
    at = hexadecimal(at, end, &major);
    at = hexadecimal(at, end, &minor);
    *row[DEVICE] = (int64_t) ((uint64_t) major << 32 | (uint64_t) minor);
    *row[INODE] = (int64_t) decimal(at, end);
    while (at < end && *at != ' ') {
        at++;
    }
    while (at < end && *at == ' ') {
        at++;
    }
    *row[PATH_AT] = at - data;
    *row[PATH_END] = end - data;
}

static void read_measure(const char * line, const char * end, const char * colon, int64_t * row[]) {
    size_t length = (size_t) (colon + 1 - line);
    for (size_t i = 0; i < MEASURE_COUNT; i++) {
        if (strlen(MEASURES[i]) == length && memcmp(line, MEASURES[i], length) == 0) {
            *row[FIRST_MEASURE + i] = (int64_t) (decimal(colon + 1, end) * 1024);
            return;
        }
    }
    if (length == 8 && memcmp(line, "VmFlags:", 8) == 0) {
        *row[HUGE_PAGES] = memmem(line, (size_t) (end - line), " ht", 3) != NULL;
    }
}

// Read a whole smaps file into columns of `capacity` entries each; return the number of mappings.
size_t llamactl_parse_smaps(const char * data, size_t size, int64_t * columns, size_t capacity) {
    int64_t * row[LLAMACTL_MAPPING_COLUMNS];
    const char * end_of_data = data + size;
    size_t count = 0;
    for (const char * line = data; line < end_of_data;) {
        const char * end = memchr(line, '\n', (size_t) (end_of_data - line));
        end = end ? end : end_of_data;
        // The first word of a mapping's first line has no colon; names of measures end with one.
        const char * space = memchr(line, ' ', (size_t) (end - line));
        const char * colon = memchr(line, ':', (size_t) ((space ? space : end) - line));
        if (!colon && space) {
            if (count == capacity) {
                break;
            }
            for (size_t i = 0; i < LLAMACTL_MAPPING_COLUMNS; i++) {
                row[i] = columns + i * capacity + count;
                *row[i] = 0;
            }
            read_header(data, line, end, row);
            count++;
        } else if (colon && count) {
            read_measure(line, end, colon, row);
        }
        line = end + 1;
    }
    return count;
}

// ---- descriptors ----

enum {
    NUMBER,
    POSITION,
    FLAGS,
    TARGET_AT,
    TARGET_END,
    MODE,
    SIZE,
    BLOCKS,
    FILE_DEVICE,
    FILE_INODE,
    LINKS,
    SPECIAL_DEVICE,
    NOT_ASKED,
};
_Static_assert(NOT_ASKED + 1 == LLAMACTL_DESCRIPTOR_COLUMNS, "columns of a descriptor");

// "pos:\t123\nflags:\t0100002\n…" (proc_pid_fdinfo(5)).
static int read_info(int infos, const char * name, int64_t * position, int64_t * flags,
                     int32_t * mount) {
    char info[128];
    int descriptor = openat(infos, name, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return -1;
    }
    ssize_t length = read(descriptor, info, sizeof info - 1);
    close(descriptor);
    if (length <= 0) {
        return -1;
    }
    info[length] = 0;
    const char * line = strstr(info, "flags:");
    *position = strncmp(info, "pos:", 4) == 0 ? strtoll(info + 4, NULL, 10) : 0;
    *flags = line ? strtoll(line + 6, NULL, 8) : 0;
    line = strstr(info, "mnt_id:");
    *mount = line ? (int32_t) strtol(line + 7, NULL, 10) : -1;
    return 0;
}

static int by_number(const void * one, const void * other) {
    int32_t a = *(const int32_t *) one, b = *(const int32_t *) other;
    return (a > b) - (a < b);
}

// Read the descriptors `numbers` of a process through its directories fd and fdinfo. Columns have
// `count` entries each; MODE is 0 for what has no place in a file system. Those closed meanwhile
// are left out. Asked at once is only what lies on a mount in `answering`, which is sorted: a file
// system that is somewhere else may not answer, and NOT_ASKED is 1 for it. Targets follow each
// other in `text`; when it is full, the rest is left for the next call. Return the number of
// entries of `numbers` that were looked at; those found have NUMBER >= 0.
size_t llamactl_read_descriptors(int links, int infos, const int32_t * numbers, size_t count,
                                 const int32_t * answering, size_t answering_count,
                                 int64_t * columns, char * text, size_t text_size) {
    size_t used = 0;
    size_t done = 0;
    for (; done < count; done++) {
        char name[16];
        struct stat status = {0};
        int64_t * row[LLAMACTL_DESCRIPTOR_COLUMNS];
        for (size_t i = 0; i < LLAMACTL_DESCRIPTOR_COLUMNS; i++) {
            row[i] = columns + i * count + done;
        }
        if (text_size - used < 4097) {
            break;
        }
        *row[NUMBER] = -1;
        snprintf(name, sizeof name, "%d", numbers[done]);
        ssize_t length = readlinkat(links, name, text + used, 4096);
        int32_t mount = -1;
        if (length < 0 || read_info(infos, name, row[POSITION], row[FLAGS], &mount) != 0) {
            continue;
        }
        int on_files = text[used] == '/';
        *row[NOT_ASKED] =
            on_files && !bsearch(&mount, answering, answering_count, sizeof mount, by_number);
        if (on_files && !*row[NOT_ASKED] && fstatat(links, name, &status, 0) != 0) {
            continue;
        }
        *row[NUMBER] = numbers[done];
        *row[TARGET_AT] = (int64_t) used;
        *row[TARGET_END] = (int64_t) (used += (size_t) length);
        *row[MODE] = status.st_mode;
        *row[SIZE] = status.st_size;
        *row[BLOCKS] = status.st_blocks;
        *row[FILE_DEVICE] = (int64_t) status.st_dev;
        *row[FILE_INODE] = (int64_t) status.st_ino;
        *row[LINKS] = (int64_t) status.st_nlink;
        *row[SPECIAL_DEVICE] = (int64_t) status.st_rdev;
    }
    return done;
}
