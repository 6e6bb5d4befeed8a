/* Which results of llama.cpp tell where a buffer is, and when somebody must be asked to watch it.
 * Shared by the agent and the recorder; without a libc. */
#ifndef LLAMACTL_HANDED_OUT_H
#define LLAMACTL_HANDED_OUT_H

#include <stdint.h>

/* A system call that doesn't exist: with it the agent stops for whoever traces the program (seccomp
 * or PTRACE_SYSCALL). Without a tracer the kernel answers ENOSYS and nothing happens. */
#define WATCH_CALL 1023
#define WATCH_MAGIC 0x6c6c616d61776174ull
#define FLOAT_SIZE 4

enum role {
    ROLE_NONE,
    ROLE_VOCABULARY,     /* the result is the number of logits in a row */
    ROLE_EMBEDDING_SIZE, /* the result is the number of floats in an embedding */
    ROLE_LOGITS,         /* the result is the address of a row */
    ROLE_EMBEDDINGS,
    ROLE_STATE, /* the second argument is where the state was written, the result its size */
};

enum { BUFFER_LOGITS, BUFFER_EMBEDDINGS, BUFFER_STATE, BUFFER_COUNT };
/* A program that asks for another row each time is followed so far; then the last one is kept. */
enum { ASKS_AT_MOST = 64 };

struct handed_out {
    uint64_t address; /* 0: never handed out */
    uint64_t bytes;   /* 0: unknown */
    uint32_t asks;
};

struct handing {
    struct handed_out buffers[BUFFER_COUNT];
    uint64_t floats[BUFFER_COUNT]; /* of a row; 0: unknown */
};

/* Notes a result; returns the buffer that is now elsewhere or larger than before, or -1. */
static inline int handing_learn(struct handing * handing, int role, int64_t ret,
                                uint64_t second_argument) {
    int which = role == ROLE_VOCABULARY || role == ROLE_LOGITS ? BUFFER_LOGITS
                : role == ROLE_STATE                           ? BUFFER_STATE
                                                               : BUFFER_EMBEDDINGS;
    struct handed_out * buffer = &handing->buffers[which];
    uint64_t address = buffer->address, bytes = (uint64_t) ret;
    if (role == ROLE_NONE || ret == 0) {
        return -1;
    }
    if (role == ROLE_STATE) {
        address = second_argument;
    } else if (role == ROLE_LOGITS || role == ROLE_EMBEDDINGS) {
        address = (uint64_t) ret;
        bytes = handing->floats[which] * FLOAT_SIZE;
    } else {
        handing->floats[which] = bytes;
        bytes *= FLOAT_SIZE;
    }
    if (!address || (address == buffer->address && (!bytes || bytes == buffer->bytes)) ||
        buffer->asks >= ASKS_AT_MOST) {
        return -1;
    }
    buffer->address = address;
    buffer->bytes = bytes;
    buffer->asks++;
    return which;
}

#endif
