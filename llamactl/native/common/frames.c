/* The calls that a thread is in. */
#include "common/frames.h"

#include <stdlib.h>
#include <string.h>

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
