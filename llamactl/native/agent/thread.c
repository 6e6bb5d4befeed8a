// Which thread this is, without a system call: claimed once, checked for fork with one load.
#include <sys/mman.h>

#include "agent/agent.h"

#define NO_SUCH_PROCESS (-3) // -ESRCH

struct thread threads[MAX_THREADS];

// One pointer in the static TLS block: an audit library's share of it is small.
static __thread struct thread * self __attribute__((tls_model("initial-exec")));

// Zero in a forked child (MADV_WIPEONFORK): then what lies in this process's memory is its
// parent's.
enum { FORKED = 0, ALIVE = 1, CLEANING = 2 };
static uint32_t * life;
static uint32_t always_alive = ALIVE;
static int main_thread_pending;

// Returns with `life` usable in any case; without MADV_WIPEONFORK (before Linux 4.14) forks are not
// seen.
void thread_setup(void) {
    const long page = sys6(__NR_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                           OWN_DESCRIPTOR(-1), 0);
    if (!sys_failed(page) && !sys_failed(sys3(__NR_madvise, page, 4096, MADV_WIPEONFORK))) {
        life = (uint32_t *) page;
        *life = ALIVE;
    } else {
        life = &always_alive;
    }
}

static int is_dead(uint32_t pid, uint32_t tid) {
    return sys3(__NR_tgkill, pid, tid, 0) == NO_SUCH_PROCESS;
}

static struct thread_slot * claim_slot(uint64_t owner) {
    struct thread_slot * slots = layout.threads;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 1; i < MAX_THREADS; i++) {
            uint64_t old = load(&slots[i].owner);
            const int usable = pass ? is_dead((uint32_t) (old >> 32), (uint32_t) old) : !old;
            if (usable && swap_if(&slots[i].owner, &old, owner)) {
                return slots + i;
            }
        }
    }
    return NULL;
}

// A dead thread's calls in progress never returned: that is worth a record, before its slot is used
// again.
static void flush_slot(struct thread_slot * slot) {
    for (unsigned d = 0; d < load(&slot->depth) && d < MAX_DEPTH; d++) {
        const struct record * frame = slot->frames + d;
        const uint64_t head = frame->head;
        if (head && !ring_put(frame, head | FLAG_NO_EXIT << 8, WORK)) {
            ring_count(0, 0, WORK);
        }
    }
    slot->depth = 0;
    slot->released = 0;
    slot->place = 0;
}

static struct thread * claim_thread(uint32_t pid, uint32_t tid) {
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 1; i < MAX_THREADS; i++) {
            struct thread * t = threads + i;
            uint32_t old = load(&t->tid);
            int usable = pass ? old == tid || is_dead(pid, old) : !old;
            if (t->stale && main_thread_pending) {
                usable = 0; // The thread that forked still points to one of these.
            }
            if (usable && swap_if(&t->tid, &old, tid)) {
                return t;
            }
        }
    }
    return NULL;
}

static struct thread * attach(uint32_t pid, uint32_t tid, struct thread * t) {
    const int inherited = t != NULL;
    if (!t && !(t = claim_thread(pid, tid))) {
        add(&ring->lost_threads, 1);
        return NULL;
    }
    struct thread_slot * slot =
        t->stale ? NULL : t->slot; // A dead thread's slot comes with its place.
    const uint64_t owner = (uint64_t) pid << 32 | tid;
    if (slot) {
        store(&slot->owner, owner);
    } else {
        slot = claim_slot(owner);
    }
    if (!slot) {
        t->slot = NULL;
        t->stale = 0;
        store(&t->tid, inherited ? tid : 0); // Its return addresses may still be needed.
        add(&ring->lost_threads, 1);
        return NULL;
    }
    flush_slot(slot);
    if (!inherited) {
        t->depth = 0;
        t->called_back = 0;
    }
    t->base = t->depth;
    t->abandoned = 0;
    t->stale = 0;
    t->pid = pid;
    t->tid = tid;
    t->slot = slot;
    t->released = inherited ? t->released : 0;
    t->place = 0;
    t->in_gil = inherited ? t->in_gil : 0;
    t->acquired_at = 0;
    slot->depth = t->depth;
    for (unsigned d = 0; d < t->depth; d++) {
        slot->frames[d].head = 0;
    }
    return t;
}

static int clean_after_fork(void) {
    uint32_t forked = FORKED;
    if (!swap_if(life, &forked, CLEANING)) {
        return load_acquire(life) == ALIVE;
    }
    for (unsigned i = 1; i < MAX_THREADS; i++) {
        threads[i].stale = threads[i].tid != 0;
    }
    main_thread_pending = 1;
    add(&ring->processes, 1);
    store_release(life, ALIVE);
    return 1;
}

static struct thread * thread_first(void) {
    if (load_acquire(life) != ALIVE && !clean_after_fork()) {
        add(&ring->lost_threads, 1); // Another thread of a fresh child is at it just now.
        return NULL;
    }
    const uint32_t pid = (uint32_t) sys3(__NR_getpid, 0, 0, 0);
    const uint32_t tid = (uint32_t) sys3(__NR_gettid, 0, 0, 0);
    self = attach(pid, tid, self);
    if (pid == tid) {
        main_thread_pending = 0;
    }
    return self;
}

// This thread's state; NULL when there is no place for it, and its calls are then counted as lost.
struct thread * thread_self(void) {
    struct thread * t = self;
    if (likely(t && load(life) == ALIVE && !t->stale)) {
        return t;
    }
    return thread_first();
}
