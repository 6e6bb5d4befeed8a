// A libllama.so in front of the real one whose context parameters are longer or have another order.
// Built by tests.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct parameters {
    uint32_t numbers[40]; // llama_context_params of the pinned engine: 160 bytes
    uint32_t more[MORE];
};

struct parameters llama_context_default_params(void);

struct parameters llama_context_default_params(void) {
    typedef struct {
        uint32_t numbers[40];
    } pinned;
    pinned (*real)(void) = (pinned(*)(void)) dlsym(RTLD_NEXT, "llama_context_default_params");
    if (real == NULL) {
        abort();
    }
    pinned found = real();
    struct parameters result;
    memset(&result, 0, sizeof result);
    memcpy(result.numbers, found.numbers, sizeof found.numbers);
    // n_ctx and n_batch change places.
    uint32_t first = result.numbers[0];
    result.numbers[0] = SWAP ? result.numbers[1] : first;
    result.numbers[1] = SWAP ? first : result.numbers[1];
    return result;
}
