/* Read the rings of all CPUs in the order of time. */
#define _GNU_SOURCE
#include <string.h>

#include "bpf/calls.h"
#include "common/clock.h"
#include "perf/perf.h"

#define LARGEST_EVENT 65536
#define FREE_STEP (256u << 10)
#define LOCK_STEP 512

/* The rings of the CPUs, and behind them the one of our BPF programs; NULL at the end. */
static struct ring * ring_at(struct perf * perf, int i) {
    if (i < perf->ring_count) {
        return &perf->rings[i].ring;
    }
    return i == perf->ring_count && perf->calls ? &perf->calls->ring : NULL;
}

static struct perf_event_mmap_page * page_of(const struct ring * ring) {
    return ((const struct perf_ring *) (const void *) ring)->page;
}

static uint64_t head(struct ring * ring) {
    return __atomic_load_n(&page_of(ring)->data_head, __ATOMIC_ACQUIRE);
}

/* Returns the event at the ring's position, put together in scratch when it wraps around the end.
 */
static const struct perf_event_header * event_at(const struct ring * ring, uint8_t * scratch) {
    uint64_t offset = ring->position & (ring->size - 1);
    /* A header never wraps: events are multiples of 8 bytes, and so is the ring. */
    const struct perf_event_header * event = (const void *) (ring->data + offset);
    uint64_t before_end = ring->size - offset;
    if (event->size <= before_end) {
        return event;
    }
    memcpy(scratch, event, before_end);
    memcpy(scratch + before_end, ring->data, event->size - before_end);
    return (const void *) scratch;
}

static uint64_t time_of(struct ring * ring, uint8_t * scratch) {
    return perf_event_time(event_at(ring, scratch));
}

static uint32_t take(struct ring * ring, uint8_t * scratch) {
    const struct perf_event_header * event = event_at(ring, scratch);
    perf_event(ring->owner, event);
    return event->size;
}

static uint64_t release(struct ring * ring) {
    __atomic_store_n(&page_of(ring)->data_tail, ring->position, __ATOMIC_RELEASE);
    return 0; /* What is lost comes as an event. */
}

const struct ring_kind perf_ring_kind = {head, time_of, take, release};

static void look_ahead(struct ring * ring, uint8_t * scratch) {
    ring->next_time = ring->position < ring->may ? ring->kind->time(ring, scratch) : UINT64_MAX;
}

static struct ring * earliest(struct perf * perf) {
    struct ring * best = NULL;
    struct ring * ring;
    for (int i = 0; (ring = ring_at(perf, i)); i++) {
        if (ring->next_time != UINT64_MAX && (!best || ring->next_time < best->next_time)) {
            best = ring;
        }
    }
    return best;
}

/* A thread may enter a call on one CPU and leave it on another. Whatever is in a ring when `must`
 * is read was preceded by events that are in the other rings when `may` is read afterwards, so
 * reading all that must, and in between what may come earlier, never sees an exit before its entry.
 */
static uint64_t mark_heads(struct perf * perf, uint8_t * scratch) {
    struct ring * ring;
    uint64_t pending = 0;
    for (int i = 0; (ring = ring_at(perf, i)); i++) {
        if (ring->data) {
            ring->must = ring->kind->head(ring);
            pending += ring->must - ring->position;
        }
    }
    for (int i = 0; (ring = ring_at(perf, i)); i++) {
        ring->next_time = UINT64_MAX;
        if (ring->data) {
            ring->may = ring->kind->head(ring);
            look_ahead(ring, scratch);
        }
    }
    return pending;
}

static void free_read(struct perf * perf, struct ring * ring) {
    uint64_t lost = ring->data ? ring->kind->release(ring) : 0;
    if (lost) {
        perf_lose(perf, lost);
    }
}

void perf_drain(struct perf * perf) {
    static _Thread_local uint8_t scratch[LARGEST_EVENT];
    uint64_t begin = now_ns();
    uint64_t pending = mark_heads(perf, scratch);
    struct ring * ring;
    int events = 0;
    sink_begin(&perf->sink);
    while (pending) {
        ring = earliest(perf);
        uint64_t before = ring->position;
        uint32_t size = ring->kind->take(ring, scratch);
        ring->position += size;
        if (before < ring->must) {
            pending -= size;
        }
        if (before / FREE_STEP != ring->position / FREE_STEP) {
            free_read(perf, ring);
        }
        look_ahead(ring, scratch);
        if (++events % LOCK_STEP == 0) {
            sink_end(&perf->sink);
            sink_begin(&perf->sink);
        }
    }
    for (int i = 0; (ring = ring_at(perf, i)); i++) {
        free_read(perf, ring);
    }
    sink_end(&perf->sink);
    atomic_store(&perf->drained, begin);
}
