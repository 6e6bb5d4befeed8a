// The engine prints what is wrong with a grammar on stderr itself: catch it, so that it can be
// told.
#include <cstdio>

#include "engine/engine.h"

extern "C" struct llama_sampler * llamactl_grammar(const struct llama_vocab * vocab,
                                                   const char * grammar, const char * root,
                                                   char * said, size_t size) {
    said[0] = '\0';
#ifdef __GLIBC__
    // glibc lets `stderr` be assigned; Python writes to the descriptor and doesn't notice.
    FILE * terminal = stderr;
    FILE * caught = fmemopen(said, size, "w");
    if (caught != nullptr) {
        stderr = caught;
    }
#endif
    struct llama_sampler * sampler = llama_sampler_init_grammar(vocab, grammar, root);
#ifdef __GLIBC__
    stderr = terminal;
    if (caught != nullptr) {
        fclose(caught);
        said[size - 1] = '\0';
    }
#endif
    return sampler;
}
