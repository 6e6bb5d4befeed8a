// The GIL: let go, waited for, taken back.
#include "agent/agent.h"

enum { LONG_HOLD_NS = 1000000 };

static void put(const struct thread * t, unsigned what, uint64_t start, uint64_t end,
                const uint64_t args[3]) {
    struct record record = {0};
    record.tid = (int32_t) t->tid;
    record.pid = (int32_t) t->pid;
    record.start = start;
    record.duration = end - start;
    record.text2 = t->place;
    for (unsigned i = 0; i < 3; i++) {
        record.args[i] = args[i];
    }
    const enum weight weight = record.duration < SHORT_NS ? CHEAP : WORK;
    if (unlikely(!ring_put(&record, record_head(RECORD_GIL, 0, what, cpu_now()), weight))) {
        ring_count((unsigned) args[1], record.duration, weight);
    }
}

// Just before the GIL is let go. Where is asked for a binding's calls, and for whoever had the GIL
// long.
static void letting_go(struct thread * t, const struct hook * hook) {
    const int is_binding = hook->caller->binding;
    if (unlikely(t->called_back)) {
        callback_seen(t, 0);
    }
    t->place = is_binding ? python_place() : 0;
    uint64_t now = now_ns();
    if (!is_binding && t->acquired_at && now - t->acquired_at > LONG_HOLD_NS) {
        t->place = python_place();
        now = now_ns();
    }
    t->held_ns = t->acquired_at ? now - t->acquired_at : UINT64_MAX;
    t->released_at = now;
    t->gil_site = hook->site;
    t->released = 1;
    t->slot->released_at = now;
    t->slot->place = t->place;
    t->slot->released = 1u + hook->site;
}

static void report_released(struct thread * t, uint64_t until) {
    if (t->released) {
        const uint64_t args[3] = {t->depth, t->gil_site, t->held_ns};
        put(t, GIL_RELEASED, t->released_at, until, args);
    }
    t->slot->released = 0;
}

// Just before the GIL is asked for; the released interval ends here. Returns the time.
static uint64_t asking(struct thread * t) {
    const uint64_t now = now_ns();
    report_released(t, now);
    return now;
}

static void taken(struct thread * t, const struct hook * hook, uint64_t asked_at) {
    t->acquired_at = now_ns();
    const uint64_t args[3] = {t->depth, hook->site, 0};
    put(t, GIL_WAITED, asked_at, t->acquired_at, args);
    t->released = 0;
    t->place = 0;
}

typedef void * (*gil_function)(void *);

static void * taking(gil_function target, void * argument, const struct hook * hook) {
    const uint64_t asked_at = asking(thread_self());
    void * result = target(argument);
    taken(thread_self(), hook, asked_at);
    return result;
}

// PyGILState_Ensure tells only afterwards (1: it was not held) whether there was anything to wait
// for.
static void * ensuring(gil_function target, const struct hook * hook) {
    struct thread * t = thread_self();
    const uint64_t asked_at = now_ns();
    void * result = target(NULL);
    if ((int) (uintptr_t) result == 1) {
        report_released(t, asked_at);
        taken(t, hook, asked_at);
    }
    callback_begin(t, asked_at);
    return result;
}

static void * releasing(gil_function target, void * argument, const struct hook * hook) {
    letting_go(thread_self(), hook);
    return target(argument);
}

static void * hooked(gil_function target, void * argument, const struct hook * hook) {
    switch (hook->kind) {
    case GIL_RESTORE:
    case GIL_ACQUIRE_THREAD:
        return taking(target, argument, hook);
    case GIL_ENSURE:
        return ensuring(target, hook);
    case GIL_RELEASE:
        callback_end(thread_self(), hook);
        return (int) (uintptr_t) argument == 1 ? releasing(target, argument, hook)
                                               : target(argument);
    default:
        return releasing(target, argument, hook);
    }
}

// What stands in for CPython's functions; the entry in assembly adds the number. Some builds of
// CPython call these functions through their own PLT: only the outermost call counts.
hidden void * agent_gil(void * argument, unsigned number) {
    const struct hook * hook = hooks + number;
    gil_function target = (gil_function) hook->target;
    struct thread * t = thread_self();
    if (!t || t->in_gil) {
        return target(argument);
    }
    t->in_gil = 1;
    void * result = hooked(target, argument, hook);
    t->in_gil = 0;
    return result;
}
