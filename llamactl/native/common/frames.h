/* Calls that haven't returned, of one thread. */
#ifndef LLAMACTL_COMMON_FRAMES_H
#define LLAMACTL_COMMON_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/record.h"
#include "common/sink.h"

#define MOST_FRAMES 256

struct point;

struct frame {
    const struct point * point; /* what was called (calls/points.h) */
    uint64_t slot;              /* where its return address lies */
    uint64_t original;          /* what lay there */
    bool reported;              /* given up as jumped over, but its return may still come */
    struct record record;
    struct sink_text text;
};

struct frames {
    uint32_t count;
    uint32_t room;
    struct frame * rows;
};

/* Adds a frame; NULL when memory is short or MOST_FRAMES are open. */
struct frame * frames_push(struct frames ** frames, const struct point * point, uint64_t slot);
void frames_remove(struct frames * frames, uint32_t index);
void frames_free(struct frames * frames);

#endif
