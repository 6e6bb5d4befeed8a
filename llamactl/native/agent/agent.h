// What the parts of the agent know of each other.
#ifndef LLAMACTL_AGENT_H
#define LLAMACTL_AGENT_H

#include <link.h>

#include "agent/ring.h"
#include "agent/sys.h"
#include "calls/handed_out.h"
#include "calls/table.h"
#include "common/words.h"

// --- elf.c: symbols of a loaded object, found without the base namespace's help
// ----------------
hidden void * elf_symbol(const struct link_map * map, const char * name);
enum { EXPORTS_ENGINE = 1, EXPORTS_MODULE = 2 };
hidden unsigned elf_exports(const struct link_map * map);

// --- open.c: the shared memory
// ------------------------------------------------------------------
// Where its parts lie: this process's own copy, which nobody else can change.
struct layout {
    struct record * records;
    char * arena;
    struct site * sites;
    struct thread_slot * threads;
    struct count * counts;
    uint64_t size;
    uint32_t capacity;
    uint32_t arena_size;
};
extern hidden struct layout layout;
extern hidden struct ring_header * ring;
hidden int ring_open(void);
hidden void ring_hand_on(void);

// --- ring.c: what lies in it
// ------------------------------------------------------------------
// What is kept when the ring fills: functions of which nothing but the time is recorded give way
// first, those that do work last.
enum weight { CHEAP, LIGHT, WORK };
// What takes longer is no cheap call, whatever it is a call of.
enum { SHORT_NS = 20000 };
hidden void ring_populate(void);
hidden int ring_put(const struct record * record, uint64_t head, enum weight weight);
hidden void ring_count(unsigned site, uint64_t ns, enum weight weight);
hidden uint32_t ring_text(const char * text, size_t length);
hidden const char * ring_string(uint32_t reference, size_t * length);
hidden int ring_site(const struct site * site, int add_it);

// --- clock.c
// ------------------------------------------------------------------
hidden void clock_find(void);
hidden uint64_t now_ns(void);
hidden unsigned cpu_now(void);
static inline uint64_t record_head(unsigned kind, unsigned flags, unsigned nr, unsigned cpu) {
    return kind | flags << 8 | (uint64_t) nr << 16 | (uint64_t) cpu << 32 |
           (uint64_t) ARCH_NATIVE << 48;
}

// --- thread.c: one traced thread
// --------------------------------------------------------------
// Python that llama.cpp calls in the middle of a call: a logits processor, a log or progress
// function.
struct callback {
    uint64_t asked_at;
    uint64_t seen_at; // when its Python was last seen at a line
    uint64_t longest; // between two such moments
    uint32_t nested;  // how often it has asked for the GIL within
    uint32_t place;   // the line of the longest
    uint32_t now;     // the line it was seen at last
    uint32_t list;    // the largest list that it made, in elements
};
struct thread {
    uint32_t tid;
    uint32_t pid;
    uint32_t depth;
    uint32_t base;        // frames below were entered before a fork: the parent's to report
    uint32_t abandoned;   // bit d: frame d was jumped over and has been reported
    uint32_t called_back; // bit d: Python runs inside the call of frame d (callback.c)
    uint32_t stale;       // copied by fork: to be claimed again
    uint32_t released;    // the GIL was let go by a call that the agent saw
    uint32_t place;       // where the Python code was when it let go
    uint64_t released_at;
    uint64_t acquired_at; // 0: unknown
    uint64_t held_ns;     // how long it had been held before; UINT64_MAX: unknown
    uint16_t gil_site;
    uint8_t in_gil;
    struct thread_slot * slot;
    uint16_t hooks[MAX_DEPTH];
    uint64_t usage[MAX_DEPTH][3];
    struct callback callbacks[MAX_DEPTH]; // by the frame that it is in
};
extern hidden struct thread threads[MAX_THREADS];
hidden struct thread * thread_self(void);
hidden void thread_setup(void);

// --- buffers.c
// ---------------------------------------------------------------------------------------
struct hook;
hidden int buffers_told(const struct hook * hook, struct record * frame);

// --- exec.c
// ------------------------------------------------------------------------------------------
hidden void exec_begins(char ** words);

// --- call.c, gil.c: the hooks, called from assembly
// --------------------------------------
struct object {
    struct link_map * map;
    uint32_t path; // arena reference
    uint64_t path_hash;
    uint8_t scanned;
    uint8_t exports;
    uint8_t binding; // has bound a function of the engine
    uint8_t called;  // others call its functions of the engine, so its own calls are no boundary
    uint8_t closed;
    uint8_t got;       // its table of addresses has been looked at (agent/device_got.c)
    uint8_t of_device; // its calls of a device's functions are its own business (agent/device.c)
};
enum gil_kind {
    GIL_NONE,
    GIL_SAVE,
    GIL_RESTORE,
    GIL_ENSURE,
    GIL_RELEASE,
    GIL_ACQUIRE_THREAD,
    GIL_RELEASE_THREAD,
    // Not recorded themselves:
    GIVES_RIGHTS_AWAY, // setuid and the like, see ring_hand_on
    EXECUTES,          // takes another program's place, see exec_begins
    EXECUTES_WITH,     // the same, with an environment as its third argument
    MAKES_LIST,        // while Python is called back, tells at which line it is
};
struct hook {
    void * target;
    struct object * caller;
    struct object * library;
    const struct row * row;
    const struct device_row * device; // of a device's functions; others have none
    uint64_t name_hash;
    uint16_t site;
    uint8_t via;
    uint8_t kind;   // enum gil_kind; GIL_NONE for the engine's functions
    uint8_t weight; // enum weight
    uint8_t makes;  // or frees something: who asked for it is always looked up
    uint8_t role;   // enum role
    uint8_t tells;  // enum tells
};
extern hidden struct hook hooks[MAX_SITES];
extern hidden unsigned depth_limit;

// --- names.c
// ------------------------------------------------------------------
hidden enum gil_kind gil_kind(const char * name, const struct object * caller);
hidden int makes_or_frees(const char * name);
hidden uint8_t weight_of(const struct row * row, int role, const char * name);
// What programs call; the rest is called by the engine itself for the most part.
hidden int is_face(const char * name);
hidden int is_engine_name(const char * name);
// One of the engine's own libraries; anything else that exports the engine's functions has it
// inside.
hidden int is_engine_library(const struct link_map * map);
// An entry for a function of a device that was asked for by name; NULL when it isn't to be
// recorded.
hidden void * device_entry(const char * name, void * target, const struct hook * asked);

// --- agent/device.c: calls by which a program works with a device
// ------------------------------------------------------------------------------------
struct device_row;
struct saved_registers;
struct saved_results;
hidden const struct device_row * device_asked(const char * name, struct object * caller,
                                              const struct object * library);
hidden enum weight device_weight(const struct device_row * row);
hidden uint32_t device_keeps_text(const struct device_row * row);
hidden int device_library_name(const char * base);
hidden int device_keeps_own_calls(struct object * object);
// An entry for a function of a device whose address an object took; NULL when it isn't to be
// recorded.
hidden void * device_taken(const char * name, void * target, struct object * caller);
// --- agent/device_got.c
hidden void device_got(struct object * object);
hidden int device_is_lookup(const struct device_row * row);
hidden void device_begin(const struct thread * t, const struct hook * hook,
                         const struct saved_registers * in, struct record * frame);
hidden int device_end(const struct hook * hook, struct saved_results * out, struct record * frame);

// --- callback.c
// ------------------------------------------------------------------------------------
hidden void callback_begin(struct thread * t, uint64_t asked_at);
hidden void callback_end(struct thread * t, const struct hook * hook);
hidden void callback_seen(struct thread * t, uint64_t list);

// --- watch.c: buffers that are to be watched
// ------------------------------------------------------------------
hidden void watch_result(int role, const struct record * frame);

// --- python.c
// ------------------------------------------------------------------------------------
hidden void python_found(const struct link_map * map);
hidden unsigned gil_state(void);
hidden uint32_t python_place(void);
hidden void python_place_is_heavy(uint32_t text);

// --- x86_64.S, aarch64.S
// ----------------------------------------------------------------
enum { CALL_ENTRIES = 3072, GIL_ENTRIES = 1024, ENTRY_SIZE = 16, RETURN_SIZE = 16 };
_Static_assert(CALL_ENTRIES + GIL_ENTRIES == MAX_SITES, "every hook has its entry");
extern hidden char agent_entries[];
extern hidden char agent_returns[];
struct return_entry {
    void * address;  // where the call really returns to
    uintptr_t stack; // the stack pointer's value there
};
extern hidden struct return_entry agent_return_table[];
struct saved_registers {
#if defined(__x86_64__)
    unsigned char vectors[8][16];
    uint64_t integers[6];
    uint64_t r10, rax;
    uint64_t index;
    void * return_address;
    unsigned char stack[];
#else
    unsigned char vectors[8][16];
    uint64_t integers[8];
    uint64_t x8;
    void * return_address;
    uint64_t index, unused;
    unsigned char stack[];
#endif
};
struct saved_results {
#if defined(__x86_64__)
    unsigned char vectors[2][16];
    uint64_t unused;
    uint64_t integers[2]; // rdx, rax
    uint64_t index;
#else
    unsigned char vectors[4][16];
    uint64_t integers[2]; // x0, x1
    uint64_t index, unused;
#endif
};
#if defined(__x86_64__)
enum { RESULT = 1 };
#else
enum { RESULT = 0 };
#endif

#endif
