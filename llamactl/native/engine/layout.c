// Which bytes the loaded library writes where it returns a struct: how another build lays it out,
// without its headers. A struct of more than 16 bytes is returned through a hidden first argument
// (System V ABI, x86-64).
#include <string.h>

#include "engine/engine.h"

#if defined(__x86_64__)
typedef void * (*returns_struct)(void *);
typedef void * (*returns_batch)(void *, llama_token *, int32_t);

// The address of the tokens differs from process to process; that it is there is what counts.
static void hide_address(unsigned char * out, const void * address) {
    for (size_t at = 0; at + sizeof address <= LLAMACTL_ROOM_BYTES; at += sizeof address) {
        if (memcmp(out + at, &address, sizeof address) == 0) {
            memset(out + at, 1, sizeof address);
        }
    }
}
#endif

bool llamactl_returned_bytes(int which, unsigned char * out) {
#if defined(__x86_64__)
    static llama_token token;
    // Volatile: the compiler knows the real types, and would refuse the call that is meant here.
    void * volatile functions[] = {(void *) llama_model_default_params,
                                   (void *) llama_context_default_params,
                                   (void *) llama_batch_get_one};
    void * function = functions[which];
    if (which == 2) {
        ((returns_batch) function)(out, &token, 5);
        hide_address(out, &token);
    } else {
        ((returns_struct) function)(out);
    }
    return true;
#else
    (void) which;
    (void) out;
    return false;
#endif
}
