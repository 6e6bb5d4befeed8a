// llamactl's agent: an audit library (rtld-audit(7)) that llamactl loads into programs it starts.
//
// The dynamic linker tells it of every function that one object binds in another one. Functions of
// llama.cpp that somebody else calls, and CPython's functions that let the GIL go and take it back,
// are replaced by an entry of our own which records the call in a shared file (ring.h).
//
// It never prints, never takes a lock on the way of a call and uses no libc: when anything is
// missing it stays out of the program.
#include <sys/mman.h>
#include <time.h>

#include "agent/agent.h"

struct hook hooks[MAX_SITES];
static uint32_t call_hooks, gil_hooks;

enum { MAX_OBJECTS = 4096, BUCKETS = 8192 };
static struct object objects[MAX_OBJECTS];
static uint32_t object_count;
static uint16_t buckets[BUCKETS]; // hook number plus one
static uint32_t binding_now;      // the process that is at it, 0 for none

static uint64_t hash_text(uint64_t hash, const char * text) {
    while (*text) {
        hash = (hash ^ (unsigned char) *text++) * 0x100000001B3ull;
    }
    return (hash ^ 0xFF) * 0x100000001B3ull;
}

static uint64_t hash_value(uint64_t hash, uint64_t value) {
    return (hash ^ value) * 0x9E3779B97F4A7C15ull;
}

// The main program's name is empty; the kernel knows it.
static const char * path_of(const struct link_map * map, char * room, size_t size) {
    if (map->l_name && map->l_name[0]) {
        return map->l_name;
    }
    const long length =
        sys4(__NR_readlinkat, -100, (long) "/proc/self/exe", (long) room, (long) size - 1);
    room[sys_failed(length) ? 0 : length] = 0;
    return room;
}

static void learn_path(struct object * object) {
    char room[1024];
    if (!object->path_hash) {
        const char * path = path_of(object->map, room, sizeof(room));
        object->path = ring_text(path, text_length(path, 4096));
        object->path_hash = hash_text(0xCBF29CE484222325ull, path) | 1;
    }
}

static unsigned exports_of(struct object * object) {
    if (!object->scanned) {
        object->exports = (uint8_t) elf_exports(object->map);
        object->scanned = 1;
    }
    return object->exports;
}

// The engine's calls to itself are left out, but what has llama.cpp inside (a Cython module,
// gpt4all's library) may have no other boundary: its llama_* calls are kept as inner calls, until
// somebody else calls them. What the engine's libraries tell each other of memory and of waiting
// for a device is kept, as no call of the program's.
static int way_of(struct object * caller, struct object * library, const char * name,
                  unsigned flags) {
    if (flags & LA_SYMB_DLSYM) {
        return exports_of(caller) == EXPORTS_ENGINE ? -1 : VIA_DLSYM;
    }
    const unsigned exports = exports_of(caller);
    if (!(exports & EXPORTS_ENGINE)) {
        return caller == library ? -1 : VIA_PLT;
    }
    const int inside = exports & EXPORTS_MODULE || !is_engine_library(caller->map);
    if (inside && caller == library && is_face(name)) {
        return VIA_INNER;
    }
    return exports_of(library) & EXPORTS_ENGINE && table_tells(name) ? VIA_ENGINE : -1;
}

static struct hook * find_hook(const struct hook * wanted, uint64_t hash) {
    for (uint64_t at = hash;; at++) {
        const uint16_t number = buckets[at % BUCKETS];
        if (!number) {
            return NULL;
        }
        struct hook * hook = hooks + number - 1;
        if (hook->target == wanted->target && hook->caller == wanted->caller &&
            hook->via == wanted->via && hook->name_hash == wanted->name_hash) {
            return hook;
        }
    }
}

static void remember_hook(const struct hook * hook, uint64_t hash) {
    uint64_t at = hash;
    while (buckets[at % BUCKETS]) {
        at++;
    }
    buckets[at % BUCKETS] = (uint16_t) (hook - hooks + 1);
}

static uint32_t keeps_text(const struct row * row) {
    char text[256];
    size_t at = 0;
    for (unsigned i = 0; i < KEEP_MAX && row->keeps[i].source != NOTHING; i++) {
        for (const char * c = row->keeps[i].label; *c && at < sizeof(text) - 2; c++) {
            text[at++] = *c;
        }
        text[at++] = ' ';
    }
    text[at++] = row->heavy ? '+' : '-';
    return ring_text(text, at);
}

static int site_of(const struct hook * hook, const char * name) {
    learn_path(hook->caller);
    learn_path(hook->library);
    uint64_t hash =
        hash_value(hash_value(hook->name_hash, hook->caller->path_hash), hook->library->path_hash);
    hash = hash_value(hash, hook->via) | 1;
    struct site site = {.hash = hash, .via = hook->via};
    const int known = ring_site(&site, 0);
    if (known >= 0) {
        return known;
    }
    site.name = ring_text(name, text_length(name, 256));
    site.caller = hook->caller->path;
    site.library = hook->library->path;
    if (hook->row) {
        site.keeps = keeps_text(hook->row);
        site.returns = (uint16_t) hook->row->returns;
    } else if (hook->device) {
        site.keeps = device_keeps_text(hook->device);
        site.returns = 'i';
    }
    return ring_site(&site, 1);
}

static struct hook * new_hook(const struct hook * wanted, const char * name) {
    const int is_gil = wanted->kind != GIL_NONE && wanted->kind <= GIL_RELEASE_THREAD;
    uint32_t * used = is_gil ? &gil_hooks : &call_hooks;
    const int site = *used >= (is_gil ? GIL_ENTRIES : CALL_ENTRIES) ? -1
                     : wanted->kind > GIL_RELEASE_THREAD            ? 0
                                                                    : site_of(wanted, name);
    if (site < 0) {
        add(&ring->lost_sites, 1);
        return NULL;
    }
    struct hook * hook = hooks + (is_gil ? CALL_ENTRIES : 0) + (*used)++;
    *hook = *wanted;
    hook->site = (uint16_t) site;
    return hook;
}

static struct hook * hook_for(const struct hook * wanted, const char * name) {
    const uint64_t hash = hash_value(hash_value(wanted->name_hash, (uintptr_t) wanted->target),
                                     (uintptr_t) wanted->caller + wanted->via) >>
                          20;
    struct hook * hook = find_hook(wanted, hash);
    if (!hook && (hook = new_hook(wanted, name))) {
        remember_hook(hook, hash);
    }
    return hook;
}

// Binding is rare, so one thread at a time. The first one brings in the ring's pages, which takes
// milliseconds, so others sleep; in a child that was forked meanwhile its parent's thread isn't
// there.
enum { SPINS = 1000, SLEEPS = 20000, SLEEP_NS = 50000 };

static int binding_begin(void) {
    const uint32_t mine = (uint32_t) sys3(__NR_getpid, 0, 0, 0);
    for (unsigned tries = 0; tries < SPINS + SLEEPS; tries++) {
        uint32_t owner = load(&binding_now);
        if (owner != mine && swap_if(&binding_now, &owner, mine)) {
            return 1;
        }
        if (tries >= SPINS) {
            const struct timespec pause = {0, SLEEP_NS};
            sys3(__NR_nanosleep, (long) &pause, 0, 0);
        }
    }
    add(&ring->lost_sites, 1);
    return 0;
}

static struct object * object_of(const uintptr_t * cookie) {
    struct object * object = (struct object *) *cookie;
    return object >= objects && object < objects + MAX_OBJECTS ? object : NULL;
}

exported unsigned la_version(unsigned version) {
    if (!version || !ring_open()) {
        return 0; // The dynamic linker then drops the agent.
    }
    const long table = sys6(__NR_mmap, (long) agent_return_table,
                            MAX_THREADS * MAX_DEPTH * RETURN_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, OWN_DESCRIPTOR(-1), 0);
    if (table != (long) agent_return_table) {
        return 0;
    }
    thread_setup();
    return version;
}

exported unsigned la_objopen(struct link_map * map, Lmid_t space, uintptr_t * cookie) {
    (void) space;
    const uint32_t at = object_count;
    *cookie = 0;
    if (at >= MAX_OBJECTS) {
        add(&ring->lost_sites, 1);
        return 0;
    }
    object_count = at + 1; // The dynamic linker holds its lock.
    objects[at] = (struct object) {.map = map};
    *cookie = (uintptr_t) (objects + at);
    python_found(map);
    const char * name = map->l_name ? map->l_name : "";
    for (; *name; name++) {
        if (begins_with(name, "_greenlet.")) {
            depth_limit = 1;
        }
    }
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

exported unsigned la_objclose(uintptr_t * cookie) {
    struct object * object = object_of(cookie);
    if (object) {
        object->closed = 1;
    }
    return 0;
}

static void * device_hook(const struct device_row * row, const char * name, void * target,
                          struct object * caller, struct object * library, uint8_t via) {
    if (!binding_begin()) {
        return NULL;
    }
    ring_populate();
    const struct hook wanted = {.target = target,
                                .caller = caller,
                                .library = library,
                                .device = row,
                                .name_hash = hash_text(0xCBF29CE484222325ull, name),
                                .via = via,
                                .weight = (uint8_t) device_weight(row)};
    const struct hook * hook = hook_for(&wanted, name);
    store_release(&binding_now, 0);
    return hook ? agent_entries + (hook - hooks) * ENTRY_SIZE : NULL;
}

void * device_entry(const char * name, void * target, const struct hook * asked) {
    const struct device_row * row = device_asked(name, asked->caller, asked->library);
    return row ? device_hook(row, name, target, asked->caller, asked->library, VIA_DLSYM) : NULL;
}

void * device_taken(const char * name, void * target, struct object * caller) {
    for (uint32_t i = 0; i < object_count; i++) {
        struct object * library = objects + i;
        if (!library->closed && library != caller && device_keeps_own_calls(library) &&
            elf_symbol(library->map, name) == target) {
            const struct device_row * row = device_asked(name, caller, library);
            return row ? device_hook(row, name, target, caller, library, VIA_PLT) : NULL;
        }
    }
    return NULL;
}

static int exports(const void * library, const char * name) {
    return elf_symbol(library, name) != NULL;
}

exported uintptr_t la_symbind64(Elf64_Sym * symbol, unsigned index, uintptr_t * from,
                                uintptr_t * to, unsigned * flags, const char * name) {
    (void) index;
    struct object * caller = object_of(from);
    struct object * library = object_of(to);
    const enum gil_kind kind = gil_kind(name, caller);
    if (!caller || !library || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) {
        return symbol->st_value;
    }
    if (unlikely(!load(&caller->got)) && !__atomic_exchange_n(&caller->got, 1, __ATOMIC_ACQ_REL)) {
        device_got(caller);
    }
    const int of_engine = kind == GIL_NONE && is_engine_name(name);
    if (kind == GIL_NONE && !of_engine) {
        const struct device_row * row = device_asked(name, caller, library);
        const uint8_t via = *flags & LA_SYMB_DLSYM ? VIA_DLSYM : VIA_PLT;
        void * entry =
            row ? device_hook(row, name, (void *) symbol->st_value, caller, library, via) : NULL;
        return entry ? (uintptr_t) entry : symbol->st_value;
    }
    if (!binding_begin()) {
        return symbol->st_value;
    }
    struct hook wanted = {.target = (void *) symbol->st_value,
                          .caller = caller,
                          .library = library,
                          .kind = (uint8_t) kind,
                          .name_hash = hash_text(0xCBF29CE484222325ull, name)};
    const int via = kind ? (*flags & LA_SYMB_DLSYM ? VIA_DLSYM : VIA_PLT)
                         : way_of(caller, library, name, *flags);
    struct hook * hook = NULL;
    if (via >= 0) {
        wanted.via = (uint8_t) via;
        wanted.row = kind ? NULL : table_find(name, exports, library->map);
        wanted.role = (uint8_t) table_role(name);
        wanted.tells = (uint8_t) table_tells(name);
        wanted.weight = weight_of(wanted.row, wanted.role, name);
        wanted.makes = (uint8_t) makes_or_frees(name);
        if (!kind) {
            ring_populate();
            caller->binding |= via != VIA_ENGINE;
            if (via < VIA_INNER && is_face(name) && !(exports_of(library) & EXPORTS_MODULE)) {
                library->called = 1;
            }
        }
        hook = hook_for(&wanted, name);
    }
    store_release(&binding_now, 0);
    return hook ? (uintptr_t) (agent_entries + (hook - hooks) * ENTRY_SIZE) : symbol->st_value;
}
