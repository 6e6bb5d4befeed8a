// Choosing a token and its bytes in one crossing: after a decode the caches hold weights, and every
// Python instruction and every extra crossing costs microseconds instead of nanoseconds.
#include <time.h>

#include "engine/engine.h"

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

void llamactl_choose(struct llama_sampler * sampler, struct llama_context * ctx,
                     const struct llama_vocab * vocab, struct llamactl_choice * out) {
    out->before_ns = now_ns();
    out->token = llama_sampler_sample(sampler, ctx, -1);
    out->sampled_ns = now_ns();
    out->is_end = llama_vocab_is_eog(vocab, out->token);
    out->length = llama_token_to_piece(vocab, out->token, out->piece, sizeof out->piece, 0, false);
}
