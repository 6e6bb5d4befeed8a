/* Read the ring of the BPF programs: strings, then the record of the call that they belong to. */
#define _GNU_SOURCE
#include <string.h>

#include "bpf/asm.h"
#include "bpf/calls.h"

#define HEADER_BYTES 8

static uint32_t header_at(const struct ring * ring, uint64_t position) {
    const uint32_t * header = (const void *) (ring->data + (position & (ring->size - 1)));
    return __atomic_load_n(header, __ATOMIC_ACQUIRE);
}

static uint32_t bytes_of(uint32_t header) {
    uint32_t length = header & ~(RING_BUSY | RING_DISCARDED);
    return (length + HEADER_BYTES + 7) & ~7u;
}

static const void * entry_at(const struct ring * ring) {
    return ring->data + (ring->position & (ring->size - 1)) + HEADER_BYTES;
}

static uint64_t head(struct ring * ring) {
    struct call_tracing * calls = ring->owner;
    uint64_t filled = __atomic_load_n(calls->producer, __ATOMIC_ACQUIRE);
    while (calls->scanned < filled) {
        uint32_t header = header_at(ring, calls->scanned);
        if (header & RING_BUSY) {
            break; /* Somebody is just writing it. */
        }
        calls->scanned += bytes_of(header);
    }
    return calls->scanned;
}

/* Strings have no time of their own: they come as soon as it is their turn in the ring. */
static uint64_t time_of(struct ring * ring, uint8_t * scratch) {
    const struct record * record = entry_at(ring);
    (void) scratch;
    return record->kind == RECORD_SYSCALL ? record->start + record->duration : 0;
}

static void keep_text(struct call_tracing * calls, const struct call_text * text) {
    struct task * task = task_get(calls->tasks, text->tid);
    if (!task || text->part > 1 || !text_reserve(&task->text[text->part], text->length)) {
        return; /* Memory is short: the call comes without it. */
    }
    if (text->length) { /* An empty string has no room yet. */
        memcpy(task->text[text->part].bytes, text->bytes, text->length);
    }
    task->text[text->part].length = text->length;
}

static void put_call(struct call_tracing * calls, const struct record * from) {
    struct record record = *from;
    struct sink_text * texts[2] = {NULL, NULL};
    if (record.flags & FLAG_NO_ENTRY) {
        /* The first thing a new thread does is to come out of its parent's clone. */
        if (!selects(calls->selection, record.nr) || (is_birth(record.nr) && record.ret == 0)) {
            return;
        }
    }
    if (record.flags & (FLAG_NO_ENTRY | FLAG_NO_EXIT)) {
        record.duration = 0;
    }
    struct task * task = record.text ? task_find(calls->tasks, record.tid) : NULL;
    for (int i = 0; task && i < 2; i++) {
        texts[i] = record.text & (1u << i) ? &task->text[i] : NULL;
    }
    sink_put(calls->sink, &record, texts[0], texts[1]);
}

static uint32_t take(struct ring * ring, uint8_t * scratch) {
    const struct record * record = entry_at(ring);
    (void) scratch;
    if (record->kind == RECORD_SYSCALL) {
        put_call(ring->owner, record);
    } else {
        keep_text(ring->owner, (const void *) record);
    }
    return bytes_of(header_at(ring, ring->position));
}

static uint64_t release(struct ring * ring) {
    struct call_tracing * calls = ring->owner;
    __atomic_store_n(calls->consumer, ring->position, __ATOMIC_RELEASE);
    uint64_t lost = *calls->lost - calls->lost_told;
    calls->lost_told += lost;
    return lost;
}

const struct ring_kind calls_ring = {head, time_of, take, release};

void calls_flush(struct call_tracing * calls) {
    struct call_state state;
    int before = 0, tid = 0;
    for (bool first = true; calls_next(calls, first ? NULL : &before, &tid, &state);
         first = false) {
        if (state.phase == PHASE_IN) {
            state.record.flags |= FLAG_NO_EXIT;
            state.record.ret = 0;
            put_call(calls, &state.record);
        }
        before = tid;
    }
}
