/* Blocks of records between the recording thread and Python.
 *
 * A block travels as a whole, with the strings its records mean, so Python can write it out from
 * where it lies. Memory is bounded: when every block is full, the recorder waits for one. */
#define _GNU_SOURCE
#include "common/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool sink_open(struct sink * sink, uint32_t blocks) {
    pthread_condattr_t attributes;
    memset(sink, 0, sizeof *sink);
    pthread_mutex_init(&sink->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sink->filled, &attributes);
    pthread_cond_init(&sink->freed, &attributes);
    pthread_condattr_destroy(&attributes);
    sink->blocks = calloc(blocks, sizeof *sink->blocks);
    if (!sink->blocks) {
        return false;
    }
    for (sink->block_count = 0; sink->block_count < blocks; sink->block_count++) {
        struct sink_block * block = &sink->blocks[sink->block_count];
        block->records = malloc(SINK_RECORDS * sizeof *block->records);
        block->strings = malloc(SINK_STRINGS);
        if (!block->records || !block->strings) {
            sink->block_count++;
            return false;
        }
        block->next = sink->free;
        sink->free = block;
    }
    return true;
}

void sink_close(struct sink * sink) {
    for (uint32_t i = 0; i < sink->block_count; i++) {
        free(sink->blocks[i].records);
        free(sink->blocks[i].strings);
    }
    free(sink->blocks);
    pthread_cond_destroy(&sink->filled);
    pthread_cond_destroy(&sink->freed);
    pthread_mutex_destroy(&sink->lock);
}

void sink_begin(struct sink * sink) {
    pthread_mutex_lock(&sink->lock);
}

void sink_end(struct sink * sink) {
    pthread_mutex_unlock(&sink->lock);
}

static void queue_current(struct sink * sink) {
    struct sink_block * block = sink->current;
    block->next = NULL;
    if (sink->full_last) {
        sink->full_last->next = block;
    } else {
        sink->full_first = block;
    }
    sink->full_last = block;
    sink->current = NULL;
    pthread_cond_signal(&sink->filled);
}

static bool next_block(struct sink * sink) {
    if (!sink->free && !sink->closed) {
        sink->waits++;
    }
    while (!sink->free && !sink->closed) {
        pthread_cond_wait(&sink->freed, &sink->lock);
    }
    if (sink->closed) {
        return false;
    }
    sink->current = sink->free;
    sink->free = sink->current->next;
    sink->current->count = 0;
    sink->current->string_bytes = 0;
    memset(sink->known, 0, sizeof sink->known);
    return true;
}

static uint32_t hash_of(const struct sink_text * text) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < text->length; i++) {
        hash = (hash ^ text->bytes[i]) * 16777619u;
    }
    return hash ? hash : 1;
}

static uint32_t room_for(const struct sink_text * text) {
    return text && text->length ? text->length + 4 : 0;
}

/* Returns the reference to the text; paths come again and again, so the last ones are remembered.
 */
static uint32_t keep_text(struct sink * sink, const struct sink_text * text) {
    struct sink_block * block = sink->current;
    if (!text || !text->length) {
        return 0;
    }
    uint32_t hash = hash_of(text);
    uint32_t slot = hash % SINK_KNOWN;
    if (sink->known[slot].hash == hash) {
        const uint8_t * old = block->strings + sink->known[slot].reference - 1;
        if (!memcmp(old, &text->length, 4) && !memcmp(old + 4, text->bytes, text->length)) {
            return sink->known[slot].reference;
        }
    }
    uint32_t reference = block->string_bytes + 1;
    memcpy(block->strings + block->string_bytes, &text->length, 4);
    memcpy(block->strings + block->string_bytes + 4, text->bytes, text->length);
    block->string_bytes += text->length + 4;
    sink->known[slot].hash = hash;
    sink->known[slot].reference = reference;
    return reference;
}

void sink_put(struct sink * sink, const struct record * record, const struct sink_text * text,
              const struct sink_text * text2) {
    uint32_t needed = room_for(text) + room_for(text2);
    if (sink->current && (sink->current->count == SINK_RECORDS ||
                          sink->current->string_bytes + needed > SINK_STRINGS)) {
        queue_current(sink);
    }
    if (!sink->current && !next_block(sink)) {
        sink->lost++;
        return;
    }
    struct record * kept = &sink->current->records[sink->current->count];
    *kept = *record;
    kept->text = keep_text(sink, text);
    kept->text2 = keep_text(sink, text2);
    sink->current->count++;
}

void sink_add(struct sink * sink, const struct record * record, const struct sink_text * text,
              const struct sink_text * text2) {
    sink_begin(sink);
    sink_put(sink, record, text, text2);
    sink_end(sink);
}

void sink_finish(struct sink * sink) {
    pthread_mutex_lock(&sink->lock);
    sink->finished = true;
    pthread_cond_signal(&sink->filled);
    pthread_mutex_unlock(&sink->lock);
}

static struct timespec deadline_after(int timeout_ms) {
    struct timespec when;
    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_sec += timeout_ms / 1000;
    when.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (when.tv_nsec >= 1000000000) {
        when.tv_sec++;
        when.tv_nsec -= 1000000000;
    }
    return when;
}

struct sink_block * sink_take(struct sink * sink, int timeout_ms) {
    struct timespec deadline = deadline_after(timeout_ms);
    pthread_mutex_lock(&sink->lock);
    while (!sink->full_first && !sink->finished) {
        if (pthread_cond_timedwait(&sink->filled, &sink->lock, &deadline) == ETIMEDOUT) {
            break;
        }
    }
    if (!sink->full_first && sink->current && sink->current->count) {
        queue_current(sink);
    }
    struct sink_block * block = sink->full_first;
    if (block) {
        sink->full_first = block->next;
        if (!sink->full_first) {
            sink->full_last = NULL;
        }
    }
    pthread_mutex_unlock(&sink->lock);
    return block;
}

void sink_give_back(struct sink * sink, struct sink_block * block) {
    pthread_mutex_lock(&sink->lock);
    block->next = sink->free;
    sink->free = block;
    pthread_cond_signal(&sink->freed);
    pthread_mutex_unlock(&sink->lock);
}

void sink_abandon(struct sink * sink) {
    pthread_mutex_lock(&sink->lock);
    sink->closed = true;
    pthread_cond_broadcast(&sink->freed);
    pthread_mutex_unlock(&sink->lock);
}
