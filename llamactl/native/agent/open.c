// Find the ring and make sure that it is llamactl's.
//
// It has no path. Its descriptor is inherited by the program that llamactl starts; its children
// open it through llamactl's own descriptor, /proc/PID/fd/N. Both are numbers that may mean
// something else by now, so a descriptor is taken for the ring only if the inode, the seals (nobody
// can make it shorter, so no SIGBUS) and the key in it are the ones that the environment says.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/agent.h"

struct layout layout;
struct ring_header * ring;

static struct {
    uint64_t pid, fd, inode, key;
} wanted;

// Read one of /proc/self's files piece by piece and copy the value of the first entry with this
// prefix.
static int environment_value(const char * prefix, char * value, size_t room) {
    const long fd = sys3(__NR_openat, AT_FDCWD, (long) "/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (sys_failed(fd)) {
        return 0;
    }
    char piece[1024];
    size_t matched = 0, length = 0;
    int state = 0; // 0 comparing, 1 another variable, 2 copying, 3 done
    long count;
    while (state != 3 && (count = sys3(__NR_read, fd, (long) piece, sizeof(piece))) > 0) {
        for (long i = 0; i < count && state != 3; i++) {
            const char c = piece[i];
            if (state == 2) {
                value[length++] = c;
                state = c == 0 || length == room ? 3 : 2;
            } else if (c == 0) {
                state = 0;
                matched = 0;
            } else if (state == 0) {
                state = c != prefix[matched] ? 1 : prefix[++matched] ? 0 : 2;
            }
        }
    }
    sys3(__NR_close, fd, 0, 0);
    return length > 1 && length <= room && value[length - 1] == 0;
}

// Four hexadecimal numbers with colons between them.
static int parse(const char * text) {
    uint64_t * const fields[] = {&wanted.pid, &wanted.fd, &wanted.inode, &wanted.key};
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        unsigned digits = 0;
        uint64_t value = 0;
        for (; *text && *text != ':'; text++, digits++) {
            const char c = *text;
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                     : -1;
            if (digit < 0 || digits == 16) {
                return 0;
            }
            value = value << 4 | (unsigned) digit;
        }
        if (!digits || *text != (i == 3 ? 0 : ':')) {
            return 0;
        }
        text++;
        *fields[i] = value;
    }
    return wanted.pid <= 0x7FFFFFFF && wanted.fd <= 0x7FFFFFFF && wanted.key != 0;
}

static char * put_text(char * to, const char * text) {
    while (*text) {
        *to++ = *text++;
    }
    *to = 0;
    return to;
}

static char * put_number(char * to, uint64_t value) {
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = (char) ('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        *to++ = digits[--count];
    }
    *to = 0;
    return to;
}

// Whether a descriptor is of the file that llamactl made: looking at it does nothing to it,
// whatever it is.
static int is_wanted(long fd) {
    struct stat status;
    return !sys_failed(sys3(__NR_fstat, fd, (long) &status, 0)) && S_ISREG(status.st_mode) &&
           status.st_nlink == 0 && status.st_ino == wanted.inode &&
           status.st_size >= (long) sizeof(struct ring_header) && status.st_size <= RING_LIMIT;
}

// Open the ring through llamactl's descriptor. It is looked at first, by a descriptor that opens
// nothing (O_PATH): the process may be another one by now, and what it has open a device.
static long open_through_proc(int flags) {
    char path[64];
    put_number(put_text(put_number(put_text(path, "/proc/"), wanted.pid), "/fd/"), wanted.fd);
    const long look = sys3(__NR_openat, AT_FDCWD, (long) path, O_PATH | O_CLOEXEC);
    long fd = -1;
    if (!sys_failed(look)) {
        if (is_wanted(look)) {
            put_number(put_text(path, "/proc/self/fd/"), (uint64_t) look);
            fd = sys3(__NR_openat, AT_FDCWD, (long) path, O_RDWR | flags);
        }
        sys3(__NR_close, look, 0, 0);
    }
    return fd;
}

// Before the program gives away the rights by which it could open the ring (another user, fewer
// capabilities, another root): what it executes from then on inherits a descriptor.
void ring_hand_on(void) {
    const long number = (long) wanted.fd;
    if (!sys_failed(sys3(__NR_fcntl, number, F_GETFD, 0))) {
        return;
    }
    const long fd = open_through_proc(O_CLOEXEC);
    if (!sys_failed(fd) && fd != number) {
        sys3(__NR_dup3, fd, number, 0);
        sys3(__NR_close, fd, 0, 0);
    }
}

static int is_part(uint64_t offset, uint64_t count, uint64_t each, uint64_t size) {
    return offset >= sizeof(struct ring_header) && offset % 8 == 0 && offset <= size &&
           count * each <= size - offset;
}

// Copy the sizes, once: the header stays writable to every process of the program, and whatever
// one of them writes there must not lead another one out of the mapping.
static int learn_layout(const struct ring_header * header, uint64_t size) {
    char * base = (char *) header;
    const uint64_t records = load(&header->records), arena = load(&header->arena),
                   sites = load(&header->sites), slots = load(&header->threads),
                   counts = load(&header->counts);
    const uint32_t capacity = load(&header->capacity), arena_size = load(&header->arena_size);
    if (header->magic != RING_MAGIC || header->version != RING_VERSION ||
        header->header_size != sizeof(*header) || header->key != wanted.key || !capacity ||
        capacity & (capacity - 1) || arena_size < 4096 ||
        !is_part(records, capacity, sizeof(struct record), size) ||
        !is_part(arena, arena_size, 1, size) ||
        !is_part(sites, MAX_SITES, sizeof(struct site), size) ||
        !is_part(slots, MAX_THREADS, sizeof(struct thread_slot), size) ||
        !is_part(counts, MAX_SITES, sizeof(struct count), size)) {
        return 0;
    }
    layout = (struct layout) {.records = (struct record *) (base + records),
                              .arena = base + arena,
                              .sites = (struct site *) (base + sites),
                              .threads = (struct thread_slot *) (base + slots),
                              .counts = (struct count *) (base + counts),
                              .size = size,
                              .capacity = capacity,
                              .arena_size = arena_size};
    return 1;
}

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW };

static int map_ring(long fd) {
    struct stat status;
    if (!is_wanted(fd) || (sys3(__NR_fcntl, fd, F_GET_SEALS, 0) & SEALS) != SEALS ||
        sys_failed(sys3(__NR_fstat, fd, (long) &status, 0))) {
        return 0;
    }
    const long address = sys6(__NR_mmap, 0, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                              OWN_DESCRIPTOR(fd), 0);
    if (sys_failed(address)) {
        return 0;
    }
    if (!learn_layout((const struct ring_header *) address, (uint64_t) status.st_size)) {
        sys3(__NR_munmap, address, status.st_size, 0);
        return 0;
    }
    ring = (struct ring_header *) address;
    return 1;
}

// The inherited descriptor is closed where its children can do without: the program is to find its
// descriptors as it would without us.
static int open_inherited(void) {
    const long fd = (long) wanted.fd;
    if (sys_failed(sys3(__NR_fcntl, fd, F_GETFD, 0)) || !map_ring(fd)) {
        return 0;
    }
    const long other = open_through_proc(O_CLOEXEC);
    if (!sys_failed(other)) {
        sys3(__NR_close, other, 0, 0);
        sys3(__NR_close, fd, 0, 0);
    }
    return 1;
}

// Returns 0 when there is no ring to write to: the agent then stays out of the program altogether.
int ring_open(void) {
    char text[80];
    if (!environment_value(RING_ENV, text, sizeof(text)) || !parse(text)) {
        return 0;
    }
    if (!open_inherited()) {
        const long fd = open_through_proc(O_CLOEXEC);
        if (sys_failed(fd)) {
            return 0;
        }
        const int mapped = map_ring(fd);
        sys3(__NR_close, fd, 0, 0);
        if (!mapped) {
            return 0;
        }
    }
    clock_find();
    add(&ring->processes, 1);
    return 1;
}
