// libFuzzer: the agent's side of the ring, whose header and memory other processes of the program
// write to.
#include "agent/open.c"

#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY = 64,
    ARENA = 4096,
    RECORDS_AT = 4096,
    THREADS_AT = RECORDS_AT + CAPACITY * (int) sizeof(struct record),
    SITES_AT = THREADS_AT + MAX_THREADS * (int) sizeof(struct thread_slot),
    COUNTS_AT = SITES_AT + MAX_SITES * (int) sizeof(struct site),
    ARENA_AT = COUNTS_AT + MAX_SITES * (int) sizeof(struct count),
    SIZE = (ARENA_AT + ARENA + 63) / 64 * 64
};

void clock_find(void) {}

static uint8_t * memory(void) {
    static uint8_t * place;
    if (!place) {
        place = aligned_alloc(64, SIZE);
    }
    memset(place, 0, SIZE);
    struct ring_header header = {.magic = RING_MAGIC,
                                 .version = RING_VERSION,
                                 .header_size = sizeof header,
                                 .size = SIZE,
                                 .records = RECORDS_AT,
                                 .arena = ARENA_AT,
                                 .sites = SITES_AT,
                                 .threads = THREADS_AT,
                                 .counts = COUNTS_AT,
                                 .key = 7,
                                 .capacity = CAPACITY,
                                 .arena_size = ARENA};
    memcpy(place, &header, sizeof header);
    return place;
}

static void use_it(unsigned what, uint32_t number) {
    struct record record = {.start = number};
    struct site site = {.hash = number};
    size_t length = 0, sum = 0;
    const char * text;
    switch (what) {
    case 0:
        ring_put(&record, RECORD_CALL, (enum weight)(number % 3));
        break;
    case 1:
        ring_count(number, number, (enum weight)(number % 3));
        break;
    case 2:
        ring_text("a name of a function", number % 21);
        break;
    case 3:
        text = ring_string((number & ~3u) + 1, &length);
        for (size_t i = 0; i < length; i++) {
            sum += (uint8_t) text[i];
        }
        break;
    default:
        if (ring_site(&site, (int) (sum + number) & 1) >= MAX_SITES) {
            __builtin_trap();
        }
    }
}

// An input: 64 bytes over the header before it is opened, then steps of an offset, a length and
// what is written there.
int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    uint8_t * place = memory();
    const size_t first = size < 80 ? size : 80;
    for (size_t i = 0; i < first; i++) {
        place[i] ^= data[i];
    }
    wanted.key = ((struct ring_header *) place)->key;
    ring = (struct ring_header *) place;
    if (!learn_layout(ring, SIZE)) {
        return 0;
    }
    for (size_t at = first; at + 8 <= size;) {
        uint32_t offset, number;
        memcpy(&offset, data + at, 4);
        memcpy(&number, data + at + 4, 4);
        at += 8;
        const size_t count = size - at < data[at - 1] % 33u ? size - at : data[at - 1] % 33u;
        const size_t to =
            offset % 2 ? offset % (sizeof(struct ring_header) - 32) : offset % (SIZE - 32);
        memcpy(place + to, data + at, count);
        at += count;
        use_it(offset % 5, number);
    }
    return 0;
}
