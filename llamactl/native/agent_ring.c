// The shared file from the traced process's side: open, claim a record, keep a string.
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "agent.h"

struct ring_header * ring;

typedef int (*clock_function)(int, struct timespec *);
typedef long (*cpu_function)(unsigned *, unsigned *, void *);
static clock_function vdso_clock;
static cpu_function vdso_cpu;

#if defined(__x86_64__)
#define VDSO_CLOCK "__vdso_clock_gettime"
#define VDSO_CPU "__vdso_getcpu"
#else
#define VDSO_CLOCK "__kernel_clock_gettime"
#define VDSO_CPU "__kernel_getcpu"
#endif

uint64_t now_ns(void) {
    struct timespec time;
    if (!vdso_clock || vdso_clock(CLOCK_MONOTONIC, &time) != 0) {
        sys3(__NR_clock_gettime, CLOCK_MONOTONIC, (long) &time, 0);
    }
    return (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
}

unsigned cpu_now(void) {
    unsigned cpu;
    return vdso_cpu && vdso_cpu(&cpu, NULL, NULL) == 0 && cpu < CPU_UNKNOWN ? cpu : CPU_UNKNOWN;
}

// Read one of /proc/self's files piece by piece and copy the value of the first entry with this
// prefix.
static int environment_value(const char * prefix, char * value, size_t room) {
    const long fd =
        sys6(__NR_openat, AT_FDCWD, (long) "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0, 0, 0);
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

static const struct ring_header * map_file(const char * path, long * size) {
    const long fd =
        sys6(__NR_openat, AT_FDCWD, (long) path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0, 0, 0);
    if (sys_failed(fd)) {
        return NULL;
    }
    *size = sys3(__NR_lseek, fd, 0, 2);
    long address = -1;
    if (*size >= (long) sizeof(struct ring_header)) {
        address = sys6(__NR_mmap, 0, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    sys3(__NR_close, fd, 0, 0);
    return sys_failed(address) ? NULL : (const struct ring_header *) address;
}

static int fits(const struct ring_header * h, uint64_t size) {
    const uint64_t limit = 16u << 20;
    return h->magic == RING_MAGIC && h->version == RING_VERSION && h->header_size == sizeof(*h) &&
           h->size <= size && size <= limit && h->capacity && !(h->capacity & (h->capacity - 1)) &&
           h->records >= sizeof(*h) &&
           h->records + (uint64_t) h->capacity * sizeof(struct record) <= h->size &&
           h->arena >= sizeof(*h) && h->arena + h->arena_size <= h->size &&
           h->sites >= sizeof(*h) && h->sites + MAX_SITES * sizeof(struct site) <= h->size &&
           h->threads >= sizeof(*h) &&
           h->threads + MAX_THREADS * sizeof(struct thread_slot) <= h->size &&
           (h->records | h->sites | h->threads) % 8 == 0;
}

static void find_vdso(void) {
    uint64_t pair[2];
    const long fd =
        sys6(__NR_openat, AT_FDCWD, (long) "/proc/self/auxv", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (sys_failed(fd)) {
        return;
    }
    while (sys3(__NR_read, fd, (long) pair, sizeof(pair)) == sizeof(pair) && pair[0] != AT_NULL) {
        if (pair[0] != AT_SYSINFO_EHDR) {
            continue;
        }
        const Elf64_Ehdr * header = (const Elf64_Ehdr *) pair[1];
        const Elf64_Phdr * segment = (const Elf64_Phdr *) (pair[1] + header->e_phoff);
        struct link_map map = {0};
        for (int i = 0; i < header->e_phnum; i++) {
            if (segment[i].p_type == PT_LOAD) {
                map.l_addr = pair[1] + segment[i].p_offset - segment[i].p_vaddr;
            } else if (segment[i].p_type == PT_DYNAMIC) {
                map.l_ld = (Elf64_Dyn *) (pair[1] + segment[i].p_offset);
            }
        }
        vdso_clock = (clock_function) elf_symbol(&map, VDSO_CLOCK);
        vdso_cpu = (cpu_function) elf_symbol(&map, VDSO_CPU);
    }
    sys3(__NR_close, fd, 0, 0);
}

// Returns 0 when there is no ring to write to: the agent then stays out of the program altogether.
int ring_open(void) {
    char path[1024];
    long size = 0;
    if (!environment_value(RING_ENV, path, sizeof(path))) {
        return 0;
    }
    const struct ring_header * found = map_file(path, &size);
    if (!found) {
        return 0;
    }
    if (!fits(found, (uint64_t) size)) {
        sys3(__NR_munmap, (long) found, size, 0);
        return 0;
    }
    find_vdso();
    ring = (struct ring_header *) found;
    add(&ring->processes, 1);
    return 1;
}

// Bring the ring's pages in at once: else the first calls pay for a page fault each 42 records.
void ring_populate(void) {
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    static int done;
    if (!done) {
        done = 1;
        sys3(__NR_madvise, (long) ring, (long) (ring->size & ~4095ul), MADV_POPULATE_WRITE);
    }
}

void ring_put(const struct record * record, uint64_t head) {
    const uint64_t capacity = ring->capacity;
    uint64_t at = load(&ring->head);
    do {
        if (unlikely(at - load_acquire(&ring->tail) >= capacity)) {
            add(&ring->lost_full, 1);
            return;
        }
    } while (!swap_if(&ring->head, &at, at + 1));
    struct record * to = (struct record *) ((char *) ring + ring->records) + (at & (capacity - 1));
    const uint64_t * from = (const uint64_t *) record;
    for (size_t i = 1; i < sizeof(*to) / 8; i++) {
        ((uint64_t *) to)[i] = from[i];
    }
    store_release(&to->head, head);
}

// Keep a string: u32 length, then its bytes. Returns its reference, 0 when the arena is full.
uint32_t ring_text(const char * text, size_t length) {
    const uint32_t room = (uint32_t) (4 + length + 1 + 3) & ~3u; // The zero is for ring_string.
    uint32_t at = load(&ring->arena_used);
    do {
        if (length > 4096 || at + room > ring->arena_size) {
            add(&ring->lost_texts, 1);
            return 0;
        }
    } while (!swap_if(&ring->arena_used, &at, at + room));
    char * to = (char *) ring + ring->arena + at;
    *(uint32_t *) to = (uint32_t) length;
    for (size_t i = 0; i < length; i++) {
        to[4 + i] = text[i];
    }
    to[4 + length] = 0;
    return at + 1;
}

// The string behind a reference; empty for none.
const char * ring_string(uint32_t reference) {
    return reference ? (const char *) ring + ring->arena + reference - 1 + 4 : "";
}

// The number of this site, the same for all processes that see it; -1 when it isn't there and isn't
// to be added, or the table is full.
int ring_site(const struct site * wanted, int add_it) {
    struct site * sites = (struct site *) ((char *) ring + ring->sites);
    const uint32_t used = load_acquire(&ring->sites_used);
    for (uint32_t i = 0; i < used && i < MAX_SITES; i++) {
        if (load_acquire(&sites[i].ready) && sites[i].hash == wanted->hash) {
            return (int) i;
        }
    }
    uint32_t at = used;
    do {
        if (!add_it || at >= MAX_SITES) {
            return -1;
        }
    } while (!swap_if(&ring->sites_used, &at, at + 1));
    sites[at] = *wanted;
    store_release(&sites[at].ready, 1);
    return (int) at;
}
