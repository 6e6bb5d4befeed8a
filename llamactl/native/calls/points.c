/* The table of functions to be caught, and the calls in progress. */
#include "calls/points.h"

#include <stdlib.h>
#include <string.h>

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

static uint64_t keep_one(const struct point * point, int which, const struct entry_state * state) {
    unsigned index = point->index[which];
    uint64_t value;
    switch (point->source[which]) {
    case REGISTER:
        return index < 6 ? state->integers[index] : 0;
    case REGISTER_32:
        return index < 6 ? (uint64_t) (int64_t) (int32_t) state->integers[index] : 0;
    case FLOAT_REGISTER:
        return index < 8 ? state->floats[index] : 0;
    case STACK_64:
        return from_stack(state, index, 8);
    case STACK_EITHER:
        value = from_stack(state, index, 8);
        return value ? value : from_stack(state, index + 8, 8) | OTHER_POINTER;
    default:
        return (uint64_t) (int64_t) (int32_t) from_stack(state, index, 4);
    }
}

void frame_keep(struct frame * frame, const struct entry_state * state) {
    int at = 0;
    for (int i = 0; i < frame->point->count; i++) {
        if (frame->point->source[i] != STRING) {
            frame->record.args[at++] = keep_one(frame->point, i, state);
        }
    }
    frame->record.args[5] =
        frame->original; /* Who called: Python names the object and takes it out. */
}
