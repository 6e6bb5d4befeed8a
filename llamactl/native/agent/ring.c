// Records, strings and sites in the ring, from the traced process's side.
//
// Other processes write there, too, and may have gone wrong: no offset or length that lies in the
// ring is used before it is checked against what this process knows (open.c).
#include <sys/mman.h>

#include "agent/agent.h"

// Bring the ring's pages in at once: else the first calls pay for a page fault each 42 records.
void ring_populate(void) {
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    static int done;
    if (!done) {
        done = 1;
        sys3(__NR_madvise, (long) ring, (long) (layout.size & ~4095ul), MADV_POPULATE_WRITE);
    }
}

static uint64_t room_for(enum weight weight) {
    const uint64_t capacity = layout.capacity;
    return weight == WORK ? capacity : weight == LIGHT ? capacity / 4 * 3 : capacity / 2;
}

// Returns 0 where there is no room for a record of this weight: cheap ones leave room for the
// others.
int ring_put(const struct record * record, uint64_t head, enum weight weight) {
    const uint64_t capacity = layout.capacity;
    uint64_t at = load(&ring->head);
    do {
        if (unlikely(at - load_acquire(&ring->tail) >= room_for(weight))) {
            return 0;
        }
    } while (!swap_if(&ring->head, &at, at + 1));
    struct record * to = layout.records + (at & (capacity - 1));
    const uint64_t * from = (const uint64_t *) record;
    for (size_t i = 1; i < sizeof(*to) / 8; i++) {
        ((uint64_t *) to)[i] = from[i];
    }
    store_release(&to->head, head);
    return 1;
}

// A record that there is no room for: cheap ones are counted, others are lost.
void ring_count(unsigned site, uint64_t ns, enum weight weight) {
    if (weight == WORK) {
        add(&ring->lost_full, 1);
    } else if (site < MAX_SITES) {
        add(&layout.counts[site].calls, 1);
        add(&layout.counts[site].ns, ns);
    }
}

// Keep a string: u32 length, then its bytes. Returns its reference, 0 when the arena is full.
uint32_t ring_text(const char * text, size_t length) {
    const uint32_t room = (uint32_t) (4 + length + 3) & ~3u;
    uint32_t at = load(&ring->arena_used);
    do {
        if (length > TEXT_LIMIT || at % 4 || at > layout.arena_size ||
            room > layout.arena_size - at) {
            add(&ring->lost_texts, 1);
            return 0;
        }
    } while (!swap_if(&ring->arena_used, &at, at + room));
    char * to = layout.arena + at;
    *(uint32_t *) to = (uint32_t) length;
    for (size_t i = 0; i < length; i++) {
        to[4 + i] = text[i];
    }
    return at + 1;
}

// The string behind a reference of this process's own, and its length, as far as it lies in the
// arena; empty for none.
const char * ring_string(uint32_t reference, size_t * length) {
    *length = 0;
    if (!reference || reference - 1 > layout.arena_size - 4) {
        return "";
    }
    const char * text = layout.arena + reference - 1;
    const size_t known = *(const volatile uint32_t *) text;
    const size_t room = layout.arena_size - (reference - 1) - 4;
    *length = known < room ? known : room;
    return text + 4;
}

// The number of this site, the same for all processes that see it; -1 when it isn't there and isn't
// to be added, or the table is full.
int ring_site(const struct site * wanted, int add_it) {
    struct site * sites = layout.sites;
    const uint32_t used = load_acquire(&ring->sites_used);
    for (uint32_t i = 0; i < used && i < MAX_SITES; i++) {
        if (load_acquire(&sites[i].ready) && sites[i].hash == wanted->hash) {
            return (int) i;
        }
    }
    uint32_t at = used;
    do {
        if (!add_it || at >= MAX_SITES) {
            return -1;
        }
    } while (!swap_if(&ring->sites_used, &at, at + 1));
    sites[at] = *wanted;
    store_release(&sites[at].ready, 1);
    return (int) at;
}
