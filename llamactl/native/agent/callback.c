// Python that runs inside a call of llama.cpp: how long, and at which line.
//
// llama.cpp calls C, and C (ctypes, CFFI, Cython) asks for the GIL with PyGILState_Ensure before it
// calls Python. The line is known only while Python is on its way: when it calls llama.cpp, lets
// the GIL go, or lets an array library make a list. Of the lines seen the one after which most time
// passed is kept.
#include "agent/agent.h"

void callback_begin(struct thread * t, uint64_t asked_at) {
    if (!t->depth) {
        return;
    }
    struct callback * callback = t->callbacks + t->depth - 1;
    const uint32_t bit = 1u << (t->depth - 1);
    if (t->called_back & bit) {
        callback->nested++;
        return;
    }
    *callback = (struct callback) {.asked_at = asked_at};
    t->called_back |= bit;
}

static void account(struct callback * callback, uint64_t now) {
    if (callback->now && now - callback->seen_at >= callback->longest) {
        callback->longest = now - callback->seen_at;
        callback->place = callback->now;
    }
}

// Only to be called with the GIL held.
void callback_seen(struct thread * t, uint64_t list) {
    uint32_t depth = t->depth;
    while (depth && !(t->called_back & 1u << (depth - 1))) {
        depth--;
    }
    if (!depth) {
        return;
    }
    struct callback * callback = t->callbacks + depth - 1;
    const uint64_t now = now_ns();
    account(callback, now);
    callback->now = python_place();
    callback->seen_at = now;
    if (list > callback->list && list < UINT32_MAX) {
        callback->list = (uint32_t) list;
    }
}

void callback_end(struct thread * t, const struct hook * hook) {
    if (!t->depth || !(t->called_back & 1u << (t->depth - 1))) {
        return;
    }
    struct callback * callback = t->callbacks + t->depth - 1;
    if (callback->nested) {
        callback->nested--;
        return;
    }
    const uint64_t now = now_ns();
    account(callback, now);
    struct record record = {0};
    record.tid = (int32_t) t->tid;
    record.pid = (int32_t) t->pid;
    record.start = callback->asked_at;
    record.duration = now - callback->asked_at;
    record.args[0] = t->depth;
    record.args[1] = hook->site;
    record.args[2] = callback->list;
    record.text2 = callback->place;
    const enum weight weight = record.duration < SHORT_NS ? CHEAP : WORK;
    if (!ring_put(&record, record_head(RECORD_GIL, 0, GIL_CALLED_BACK, cpu_now()), weight)) {
        ring_count(hook->site, record.duration, weight);
    }
    t->called_back &= ~(1u << (t->depth - 1));
}
