/* Read the rings of all CPUs in the order of time. */
#define _GNU_SOURCE
#include <string.h>

#include "perf.h"
#include "tracer.h"

#define LARGEST_EVENT 65536
#define FREE_STEP (256u << 10)
#define LOCK_STEP 512

static uint64_t head_of(const struct perf_ring * ring) {
    return __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
}

/* Returns the event at the ring's position, put together in scratch when it wraps around the end.
 */
static const struct perf_event_header * event_at(const struct perf_ring * ring, uint8_t * scratch) {
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

static void look_ahead(struct perf_ring * ring, uint8_t * scratch) {
    ring->next_time =
        ring->position < ring->may ? perf_event_time(event_at(ring, scratch)) : UINT64_MAX;
}

static struct perf_ring * earliest(struct perf * perf) {
    struct perf_ring * best = NULL;
    for (int i = 0; i < perf->ring_count; i++) {
        struct perf_ring * ring = &perf->rings[i];
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
static uint64_t mark_heads(struct perf * perf) {
    static _Thread_local uint8_t scratch[LARGEST_EVENT];
    uint64_t pending = 0;
    for (int i = 0; i < perf->ring_count; i++) {
        if (perf->rings[i].page) {
            perf->rings[i].must = head_of(&perf->rings[i]);
            pending += perf->rings[i].must - perf->rings[i].position;
        }
    }
    for (int i = 0; i < perf->ring_count; i++) {
        struct perf_ring * ring = &perf->rings[i];
        ring->next_time = UINT64_MAX;
        if (ring->page) {
            ring->may = head_of(ring);
            look_ahead(ring, scratch);
        }
    }
    return pending;
}

static void free_read(struct perf_ring * ring) {
    __atomic_store_n(&ring->page->data_tail, ring->position, __ATOMIC_RELEASE);
}

void perf_drain(struct perf * perf) {
    static _Thread_local uint8_t scratch[LARGEST_EVENT];
    uint64_t begin = now_ns();
    uint64_t pending = mark_heads(perf);
    int events = 0;
    sink_begin(&perf->sink);
    while (pending) {
        struct perf_ring * ring = earliest(perf);
        const struct perf_event_header * event = event_at(ring, scratch);
        uint64_t before = ring->position;
        perf_event(perf, event);
        ring->position += event->size;
        if (before < ring->must) {
            pending -= event->size;
        }
        if (before / FREE_STEP != ring->position / FREE_STEP) {
            free_read(ring);
        }
        look_ahead(ring, scratch);
        if (++events % LOCK_STEP == 0) {
            sink_end(&perf->sink);
            sink_begin(&perf->sink);
        }
    }
    sink_end(&perf->sink);
    for (int i = 0; i < perf->ring_count; i++) {
        if (perf->rings[i].page) {
            free_read(&perf->rings[i]);
        }
    }
    atomic_store(&perf->drained, begin);
}
