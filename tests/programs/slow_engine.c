// A libllama.so in front of the real one: every llama_decode takes EXTRA_PERCENT longer. Built by
// tests.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

struct llama_context;
struct llama_batch {
    int32_t n_tokens;
    void * arrays[6];
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

int32_t llama_decode(struct llama_context * ctx, struct llama_batch batch);

int32_t llama_decode(struct llama_context * ctx, struct llama_batch batch) {
    static int32_t (*real)(struct llama_context *, struct llama_batch);
    if (real == NULL) {
        real = (int32_t (*)(struct llama_context *, struct llama_batch)) dlsym(RTLD_NEXT,
                                                                               "llama_decode");
        if (real == NULL) {
            abort();
        }
    }
    int64_t begin = now_ns();
    int32_t status = real(ctx, batch);
    int64_t took = now_ns() - begin, until = now_ns() + took * EXTRA_PERCENT / 100;
    while (now_ns() < until) {
    }
    return status;
}
