// What passes between this process and workers. The engine's RPC calls connect, send and recv of
// libc; its own import table is pointed at functions here that count and go on, for about 50 ns a
// call. Waiting for a worker ends when Ctrl-C came and the worker stays silent, and when the
// worker's machine is gone.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"

#if defined(__x86_64__)
#define IS_IMPORT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#elif defined(__aarch64__)
#define IS_IMPORT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#else
#define IS_IMPORT(type) false
#endif

enum {
    MOST_WORKERS = 64,
    MOST_DESCRIPTORS = 1 << 16,
    TICK_US = 250000, // how often waiting looks whether Ctrl-C came
    GRACE_TICKS = 8,  // a worker that only computes answers within this and the test ends in order
    IDLE_S = 10,      // a silent connection is probed after this,
    PROBE_S = 5,      // again and again,
    PROBES = 4,       // and given up after so many without an answer (tcp(7), TCP_KEEPCNT)
};

struct worker {
    struct sockaddr_in address;
    _Atomic uint64_t connections, sent_bytes, received_bytes, round_trips, waited_ns;
};

static struct worker workers[MOST_WORKERS];
static _Atomic size_t worker_count;
static bool watching;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;
// By descriptor: the worker's index plus 1, and whether something was sent that no answer was
// awaited for yet.
static _Atomic uint8_t worker_of[MOST_DESCRIPTORS];
static _Atomic bool unanswered[MOST_DESCRIPTORS];

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static struct worker * of_descriptor(int fd) {
    unsigned index = fd >= 0 && fd < MOST_DESCRIPTORS ? worker_of[fd] : 0;
    return index ? &workers[index - 1] : NULL;
}

static void name_of(const struct worker * worker, char * out, size_t size) {
    char host[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, &worker->address.sin_addr, host, sizeof host);
    snprintf(out, size, "%s:%u", host, ntohs(worker->address.sin_port));
}

static size_t find_or_add(const struct sockaddr_in * address) {
    pthread_mutex_lock(&adding);
    size_t index = 0, count = worker_count;
    while (index < count && (workers[index].address.sin_addr.s_addr != address->sin_addr.s_addr ||
                             workers[index].address.sin_port != address->sin_port)) {
        index++;
    }
    if (index == count && count < MOST_WORKERS) {
        workers[index].address = *address;
        worker_count = count + 1;
    }
    pthread_mutex_unlock(&adding);
    return index;
}

static void make_patient(int fd) {
    struct timeval tick = {.tv_usec = TICK_US};
    int on = 1, idle = IDLE_S, interval = PROBE_S, probes = PROBES;
    unsigned lost_ms = (IDLE_S + PROBE_S * PROBES) * 1000;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick, sizeof tick);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof lost_ms);
}

static int counted_connect(int fd, const struct sockaddr * address, socklen_t length) {
    int result = connect(fd, address, length);
    if (result == 0 && fd < MOST_DESCRIPTORS && address->sa_family == AF_INET) {
        size_t index = find_or_add((const struct sockaddr_in *) address);
        worker_of[fd] = index < MOST_WORKERS ? (uint8_t) (index + 1) : 0;
        unanswered[fd] = false;
        if (index < MOST_WORKERS) {
            workers[index].connections++;
        }
        make_patient(fd);
    }
    return result;
}

// Called when a tick went by without progress. Ends the process if Ctrl-C came long enough ago.
static bool wait_on(const struct worker * worker, int * ticks) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        return false;
    }
    if (llamactl_interrupted() && ++*ticks >= GRACE_TICKS) {
        char name[32];
        name_of(worker, name, sizeof name);
        llamactl_guard_end_interrupted(name);
    }
    return true;
}

// The engine ends the process now, with a line that doesn't name the worker: this is its end.
static void tell_who(const struct worker * worker, const char * what) {
    char name[32], text[160];
    name_of(worker, name, sizeof name);
    snprintf(text, sizeof text, "The worker %s is gone: %s.", name, what);
    llamactl_guard_set_suffix(text);
}

static ssize_t counted_send(int fd, const void * data, size_t size, int flags) {
    struct worker * worker = of_descriptor(fd);
    if (!worker) {
        return send(fd, data, size, flags);
    }
    unanswered[fd] = true;
    ssize_t sent;
    int ticks = 0;
    do {
        sent = send(fd, data, size, flags);
    } while (sent < 0 && wait_on(worker, &ticks));
    if (sent < 0) {
        tell_who(worker, strerror(errno));
    } else {
        worker->sent_bytes += (uint64_t) sent;
    }
    return sent;
}

static ssize_t counted_recv(int fd, void * data, size_t size, int flags) {
    struct worker * worker = of_descriptor(fd);
    if (!worker) {
        return recv(fd, data, size, flags);
    }
    worker->round_trips += atomic_exchange(&unanswered[fd], false);
    uint64_t begin = now_ns();
    ssize_t received;
    int ticks = 0;
    do {
        received = recv(fd, data, size, flags);
    } while (received < 0 && wait_on(worker, &ticks));
    worker->waited_ns += now_ns() - begin;
    if (received > 0) {
        worker->received_bytes += (uint64_t) received;
    } else if (size > 0) {
        tell_who(worker, received == 0 ? "it closed the connection" : strerror(errno));
    }
    return received;
}

static const struct import {
    const char * name;
    void * replacement;
} imports[] = {
    {"connect", (void *) counted_connect},
    {"send", (void *) counted_send},
    {"recv", (void *) counted_recv},
};
enum { IMPORTS = sizeof imports / sizeof *imports };

struct search {
    uintptr_t inside; // an address in the object that is looked for
    unsigned replaced;
};

static const void * dynamic_pointer(const struct dl_phdr_info * object, uintptr_t value) {
    // glibc has added the base already (elf/dl-runtime), musl hasn't.
    return (const void *) (value < object->dlpi_addr ? value + object->dlpi_addr : value);
}

static bool in_relro(const struct dl_phdr_info * object, uintptr_t slot) {
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) * header = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_GNU_RELRO && slot >= begin && slot < begin + header->p_memsz) {
            return true;
        }
    }
    return false;
}

static bool replace(const struct dl_phdr_info * object, uintptr_t slot, void * replacement) {
    uintptr_t page_bytes = (uintptr_t) sysconf(_SC_PAGESIZE);
    void * page = (void *) (slot & ~(page_bytes - 1));
    bool is_protected = in_relro(object, slot);
    if (is_protected && mprotect(page, page_bytes, PROT_READ | PROT_WRITE)) {
        return false;
    }
    __atomic_store_n((void **) slot, replacement, __ATOMIC_RELEASE);
    if (is_protected) {
        mprotect(page, page_bytes, PROT_READ);
    }
    return true;
}

static unsigned replace_in(const struct dl_phdr_info * object, const ElfW(Rela) * rows,
                           size_t count, const ElfW(Sym) * symbols, const char * names) {
    unsigned replaced = 0;
    for (size_t i = 0; i < count; i++) {
        if (!IS_IMPORT(ELF64_R_TYPE(rows[i].r_info))) {
            continue;
        }
        const char * name = names + symbols[ELF64_R_SYM(rows[i].r_info)].st_name;
        for (unsigned k = 0; k < IMPORTS; k++) {
            if (strcmp(name, imports[k].name) == 0 &&
                replace(object, object->dlpi_addr + rows[i].r_offset, imports[k].replacement)) {
                replaced |= 1u << k;
            }
        }
    }
    return replaced;
}

static unsigned replace_imports(const struct dl_phdr_info * object, const ElfW(Dyn) * entry) {
    const ElfW(Rela) * jumps = NULL, *others = NULL;
    const ElfW(Sym) * symbols = NULL;
    const char * names = NULL;
    size_t jump_bytes = 0, other_bytes = 0;
    for (; entry->d_tag != DT_NULL; entry++) {
        const void * pointer = dynamic_pointer(object, entry->d_un.d_ptr);
        switch (entry->d_tag) {
        case DT_JMPREL:
            jumps = pointer;
            break;
        case DT_PLTRELSZ:
            jump_bytes = entry->d_un.d_val;
            break;
        case DT_RELA:
            others = pointer;
            break;
        case DT_RELASZ:
            other_bytes = entry->d_un.d_val;
            break;
        case DT_SYMTAB:
            symbols = pointer;
            break;
        case DT_STRTAB:
            names = pointer;
            break;
        }
    }
    if (!symbols || !names) {
        return 0;
    }
    return replace_in(object, jumps, jump_bytes / sizeof *jumps, symbols, names) |
           replace_in(object, others, other_bytes / sizeof *others, symbols, names);
}

static int look(struct dl_phdr_info * object, size_t size, void * data) {
    (void) size;
    struct search * search = data;
    const ElfW(Dyn) * dynamic = NULL;
    bool found = false;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) * header = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + header->p_vaddr;
        found |= header->p_type == PT_LOAD && search->inside >= begin &&
                 search->inside < begin + header->p_memsz;
        if (header->p_type == PT_DYNAMIC) {
            dynamic = (const ElfW(Dyn) *) begin;
        }
    }
    if (found && dynamic) {
        search->replaced = replace_imports(object, dynamic);
    }
    return found;
}

void llamactl_rpc_watch(void * function) {
    struct search search = {.inside = (uintptr_t) function};
    dl_iterate_phdr(look, &search);
    watching = search.replaced == (1u << IMPORTS) - 1;
}

bool llamactl_rpc_watching(void) {
    return watching;
}

size_t llamactl_rpc_traffic(struct llamactl_worker_traffic * out, size_t capacity) {
    size_t count = worker_count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        name_of(&workers[i], out[i].address, sizeof out[i].address);
        out[i].connections = workers[i].connections;
        out[i].sent_bytes = workers[i].sent_bytes;
        out[i].received_bytes = workers[i].received_bytes;
        out[i].round_trips = workers[i].round_trips;
        out[i].waited_ns = workers[i].waited_ns;
    }
    return count;
}
