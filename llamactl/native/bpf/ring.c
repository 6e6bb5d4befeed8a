/* Read the ring of the BPF programs: strings, then the record of the call that they belong to. */
#define _GNU_SOURCE
#include <string.h>

#include "bpf/asm.h"
#include "bpf/calls.h"

#define HEADER_BYTES 8

static uint32_t header_at(const struct perf_ring * ring, uint64_t position) {
    const uint32_t * header = (const void *) (ring->data + (position & (ring->size - 1)));
    return __atomic_load_n(header, __ATOMIC_ACQUIRE);
}

static uint32_t bytes_of(uint32_t header) {
    uint32_t length = header & ~(RING_BUSY | RING_DISCARDED);
    return (length + HEADER_BYTES + 7) & ~7u;
}

static const void * entry_at(const struct perf_ring * ring) {
    return ring->data + (ring->position & (ring->size - 1)) + HEADER_BYTES;
}

uint64_t calls_head(struct perf * perf) {
    struct call_tracing * calls = perf->calls;
    uint64_t filled = __atomic_load_n(calls->producer, __ATOMIC_ACQUIRE);
    while (calls->scanned < filled) {
        uint32_t header = header_at(&calls->ring, calls->scanned);
        if (header & RING_BUSY) {
            break; /* Somebody is just writing it. */
        }
        calls->scanned += bytes_of(header);
    }
    return calls->scanned;
}

/* Strings have no time of their own: they come as soon as it is their turn in the ring. */
uint64_t calls_time(struct perf * perf) {
    const struct record * record = entry_at(&perf->calls->ring);
    return record->kind == RECORD_SYSCALL ? record->start + record->duration : 0;
}

static void keep_text(struct perf * perf, const struct call_text * text) {
    struct task * task = task_get(&perf->tasks, text->tid);
    if (!task || text->part > 1 || !text_reserve(&task->text[text->part], text->length)) {
        return; /* Memory is short: the call comes without it. */
    }
    if (text->length) { /* An empty string has no room yet. */
        memcpy(task->text[text->part].bytes, text->bytes, text->length);
    }
    task->text[text->part].length = text->length;
}

static void put_call(struct perf * perf, const struct record * from) {
    struct record record = *from;
    struct sink_text * texts[2] = {NULL, NULL};
    if (record.flags & FLAG_NO_ENTRY) {
        /* The first thing a new thread does is to come out of its parent's clone. */
        if (!perf_selects(perf, record.nr) || (perf_is_birth(record.nr) && record.ret == 0)) {
            return;
        }
    }
    if (record.flags & (FLAG_NO_ENTRY | FLAG_NO_EXIT)) {
        record.duration = 0;
    }
    struct task * task = record.text ? task_find(&perf->tasks, record.tid) : NULL;
    for (int i = 0; task && i < 2; i++) {
        texts[i] = record.text & (1u << i) ? &task->text[i] : NULL;
    }
    sink_put(&perf->sink, &record, texts[0], texts[1]);
}

uint32_t calls_take(struct perf * perf) {
    const struct perf_ring * ring = &perf->calls->ring;
    const struct record * record = entry_at(ring);
    if (record->kind == RECORD_SYSCALL) {
        put_call(perf, record);
    } else {
        keep_text(perf, (const void *) record);
    }
    return bytes_of(header_at(ring, ring->position));
}

void calls_release(struct perf * perf) {
    struct call_tracing * calls = perf->calls;
    __atomic_store_n(calls->consumer, calls->ring.position, __ATOMIC_RELEASE);
    uint64_t lost = *calls->lost;
    if (lost != calls->lost_told) {
        perf_lose(perf, lost - calls->lost_told);
        calls->lost_told = lost;
    }
}

void calls_flush(struct perf * perf) {
    struct call_state state;
    int before = 0, tid = 0;
    for (bool first = true; calls_next(perf, first ? NULL : &before, &tid, &state); first = false) {
        if (state.phase == PHASE_IN) {
            state.record.flags |= FLAG_NO_EXIT;
            state.record.ret = 0;
            put_call(perf, &state.record);
        }
        before = tid;
    }
}
