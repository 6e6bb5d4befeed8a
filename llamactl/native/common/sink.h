/* Where the recording thread puts records and the reading thread takes them: a few fixed blocks. */
#ifndef LLAMACTL_TRACER_SINK_H
#define LLAMACTL_TRACER_SINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/api.h"
#include "common/record.h"

#define SINK_RECORDS 8192
#define SINK_STRINGS (1u << 20)
#define SINK_KNOWN 1024

struct sink {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    pthread_cond_t freed;
    struct sink_block * blocks;
    uint32_t block_count;
    struct sink_block * current;
    struct sink_block * full_first;
    struct sink_block * full_last;
    struct sink_block * free;
    uint64_t lost;
    uint64_t waits;
    bool closed;   /* the reader is gone: nobody will free a block any more */
    bool finished; /* the recorder is gone: nothing will come any more */
    struct {
        uint32_t hash;
        uint32_t reference;
    } known[SINK_KNOWN];
};

/* Bytes read from the traced program, kept until the call they belong to returns. */
struct sink_text {
    uint8_t * bytes;
    uint32_t length;
    uint32_t room;
};

bool sink_open(struct sink * sink, uint32_t blocks);
void sink_close(struct sink * sink);

/* The recorder's side. sink_put waits for room (back-pressure) and is called between begin and end;
 * sink_add does all three. */
void sink_begin(struct sink * sink);
void sink_put(struct sink * sink, const struct record * record, const struct sink_text * text,
              const struct sink_text * text2);
void sink_end(struct sink * sink);
void sink_add(struct sink * sink, const struct record * record, const struct sink_text * text,
              const struct sink_text * text2);
void sink_finish(struct sink * sink);

/* The reader's side. sink_take returns NULL when timeout_ms passed and nothing is there. */
struct sink_block * sink_take(struct sink * sink, int timeout_ms);
void sink_give_back(struct sink * sink, struct sink_block * block);
void sink_abandon(struct sink * sink);

#endif
