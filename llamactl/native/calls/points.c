/* The table of functions to be caught, and the calls in progress. */
#include "calls/points.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEEP_REGISTER = 1,
    KEEP_REGISTER_32,
    KEEP_STACK_64,
    KEEP_STACK_32,
    KEEP_FLOAT,
    KEEP_STRING,
    KEEP_STACK_EITHER,
};
#define OTHER_POINTER (1ull << 63)

static uint64_t from_stack(const struct entry_state * state, unsigned index, size_t size) {
    uint64_t value = 0;
    /* The first word is the return address, the structure begins behind it. */
    if (8 + index + size <= state->stack_bytes) {
        memcpy(&value, (const uint8_t *) state->stack + 8 + index, size);
    }
    return value;
}

static int by_address(const void * one, const void * other) {
    const struct point *a = one, *b = other;
    return a->address < b->address ? -1 : a->address > b->address;
}

struct points * points_new(const struct point * rows, uint32_t count,
                           const struct address_range * ranges, uint32_t range_count) {
    struct points * points = calloc(1, sizeof *points);
    if (!points) {
        return NULL;
    }
    points->rows = calloc(count + 1, sizeof *rows);
    points->ranges = calloc(range_count + 1, sizeof *ranges);
    if (!points->rows || !points->ranges) {
        points_free(points);
        return NULL;
    }
    memcpy(points->rows, rows, count * sizeof *rows);
    memcpy(points->ranges, ranges, range_count * sizeof *ranges);
    points->count = count;
    points->range_count = range_count;
    qsort(points->rows, count, sizeof *rows, by_address);
    return points;
}

void points_free(struct points * points) {
    if (points) {
        free(points->rows);
        free(points->ranges);
        free(points);
    }
}

const struct point * points_find(const struct points * points, uint64_t address) {
    struct point key = {.address = address};
    return bsearch(&key, points->rows, points->count, sizeof key, by_address);
}

bool points_inside(const struct points * points, uint64_t address) {
    for (uint32_t i = 0; i < points->range_count; i++) {
        if (address >= points->ranges[i].start && address < points->ranges[i].end) {
            return true;
        }
    }
    return false;
}

/* Makes room by forgetting frames that were jumped over long ago. */
static void forget_reported(struct frames * frames) {
    for (uint32_t i = 0; i < frames->count; i++) {
        if (frames->rows[i].reported) {
            frames_remove(frames, i);
            return;
        }
    }
}

struct frame * frames_push(struct frames ** place, const struct point * point, uint64_t slot) {
    struct frames * frames = *place;
    if (!frames) {
        frames = *place = calloc(1, sizeof *frames);
    }
    if (frames && frames->count == MOST_FRAMES) {
        forget_reported(frames);
    }
    if (!frames || frames->count == MOST_FRAMES) {
        return NULL;
    }
    if (frames->count == frames->room) {
        uint32_t room = frames->room ? frames->room * 2 : 4;
        struct frame * rows = realloc(frames->rows, room * sizeof *rows);
        if (!rows) {
            return NULL;
        }
        frames->rows = rows;
        frames->room = room;
    }
    struct frame * frame = &frames->rows[frames->count++];
    memset(frame, 0, sizeof *frame);
    frame->point = point;
    frame->slot = slot;
    return frame;
}

void frames_remove(struct frames * frames, uint32_t index) {
    free(frames->rows[index].text.bytes);
    frames->count--;
    memmove(&frames->rows[index], &frames->rows[index + 1],
            (frames->count - index) * sizeof *frames->rows);
}

void frames_free(struct frames * frames) {
    if (frames) {
        while (frames->count) {
            frames_remove(frames, frames->count - 1);
        }
        free(frames->rows);
        free(frames);
    }
}

static uint64_t keep_one(const struct point * point, int which, const struct entry_state * state) {
    unsigned index = point->index[which];
    uint64_t value;
    switch (point->source[which]) {
    case KEEP_REGISTER:
        return index < 6 ? state->integers[index] : 0;
    case KEEP_REGISTER_32:
        return index < 6 ? (uint64_t) (int64_t) (int32_t) state->integers[index] : 0;
    case KEEP_FLOAT:
        return index < 8 ? state->floats[index] : 0;
    case KEEP_STACK_64:
        return from_stack(state, index, 8);
    case KEEP_STACK_EITHER:
        value = from_stack(state, index, 8);
        return value ? value : from_stack(state, index + 8, 8) | OTHER_POINTER;
    default:
        return (uint64_t) (int64_t) (int32_t) from_stack(state, index, 4);
    }
}

void frame_keep(struct frame * frame, const struct entry_state * state) {
    int at = 0;
    for (int i = 0; i < frame->point->count; i++) {
        if (frame->point->source[i] != KEEP_STRING) {
            frame->record.args[at++] = keep_one(frame->point, i, state);
        }
    }
    frame->record.args[5] =
        frame->original; /* Who called: Python names the object and takes it out. */
}

int64_t result_of(char type, uint64_t value, uint32_t low_float) {
    switch (type) {
    case 'i':
        return (int32_t) value;
    case 'u':
        return (uint32_t) value;
    case 'b':
        return (uint8_t) value;
    case 'l':
    case 'p':
        return (int64_t) value;
    case 'f':
        return low_float;
    default:
        return 0;
    }
}
