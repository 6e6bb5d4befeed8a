// llama.cpp's library `common`, which its own programs are made of, behind a C interface: no
// exception crosses it, and what went wrong is a text.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llama.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bytes with a length: texts may hold NUL and what isn't UTF-8.
struct llamactl_span {
    const char * data;
    size_t size;
};

enum llamactl_status {
    LLAMACTL_DONE,
    LLAMACTL_REFUSED,   // by the template's own raise_exception
    LLAMACTL_FAILED,    // part 0 says why
    LLAMACTL_NO_MEMORY, // std::bad_alloc
};

// Texts that a function made. Free it; its spans live as long as it does.
struct llamactl_answer;
enum llamactl_status llamactl_answer_status(const struct llamactl_answer * answer);
struct llamactl_span llamactl_answer_part(const struct llamactl_answer * answer, size_t part);
void llamactl_answer_free(struct llamactl_answer * answer);

// What llama.cpp's programs start from (common_params), not the C interface's defaults.
struct llama_model_params llamactl_common_model_params(void);
struct llama_context_params llamactl_common_context_params(void);

// Changes what is at its default so that it fits the devices' memory (common_fit_params). 0: it
// fits, 1: nothing fits, 2: it can't be told. `tensor_split` and `overrides` are the caller's, for
// llama_max_devices() and llama_max_tensor_buft_overrides() of them.
int llamactl_fit(const char * path, struct llama_model_params * model,
                 struct llama_context_params * context, float * tensor_split,
                 struct llama_model_tensor_buft_override * overrides, size_t * margins,
                 uint32_t n_ctx_min);

// Adds control vectors up (common_control_vector_load). Part 0 is floats, a layer after the other;
// part 1 the length of one layer as text.
struct llamactl_answer * llamactl_control_vector(const struct llamactl_span * files,
                                                 const float * scales, size_t count);

// \n, \t, \x41 and so on become what they name (string_process_escapes). Part 0 is the text.
struct llamactl_answer * llamactl_escapes(struct llamactl_span text);
// Part 0 is a grammar in GBNF for a JSON schema (json_schema_to_grammar).
struct llamactl_answer * llamactl_schema_grammar(struct llamactl_span schema);

#ifdef __cplusplus
}
#endif
