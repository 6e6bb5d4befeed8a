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

// A conversation for a chat template.
struct llamactl_chat {
    struct llamactl_span source; // the template's text, not empty; or the name "chatml"
    struct llamactl_span bos;
    struct llamactl_span eos;
    bool adds_bos; // the tokenizer adds it, so that the prompt shouldn't begin with it
    bool adds_eos;
    const struct llamactl_span * messages; // role and content of each
    size_t n_messages;
    struct llamactl_span arguments; // a JSON object, for the template to read
    bool thinking;                  // what the template reads as enable_thinking
};
// Parts: the prompt; what of it begins the answer; format and parser for llamactl_chat_split, the
// parser is empty where none can be made; what begins a thought; JSON lists of what ends one and of
// the special tokens that the parser wants to see.
struct llamactl_answer * llamactl_chat_render(const struct llamactl_chat * chat);

// What a model wrote after such a prompt.
struct llamactl_reply {
    int format;
    struct llamactl_span parser;
    struct llamactl_span generation_prompt;
    struct llamactl_span text;
    bool is_partial; // it was cut short
};
// Parts: its thoughts, its answer.
struct llamactl_answer * llamactl_chat_split(const struct llamactl_reply * reply);

// Ends this process with a status when C++ gets no memory: templates would go on without.
void llamactl_end_without_memory(int status);

// What a sampler is made of; at first llama.cpp's defaults.
struct llamactl_sampling;
struct llamactl_sampling * llamactl_sampling_new(void);
void llamactl_sampling_free(struct llamactl_sampling * sampling);
// One number by name, such as "top_k". False, and NaN: there is none of that name.
bool llamactl_sampling_set(struct llamactl_sampling * sampling, const char * name, double value);
double llamactl_sampling_get(const struct llamactl_sampling * sampling, const char * name);
void llamactl_sampling_set_seed(struct llamactl_sampling * sampling, uint32_t seed);
// The names that an order can be made of, apart by ";", and their letters.
struct llamactl_answer * llamactl_sampler_names(void);
// An order: names apart by ";". FAILED with the name that is unknown.
struct llamactl_answer * llamactl_sampling_order(struct llamactl_sampling * sampling,
                                                 struct llamactl_span order);
// What ends a repetition for DRY, in place of the defaults.
struct llamactl_answer * llamactl_sampling_breakers(struct llamactl_sampling * sampling,
                                                    const struct llamactl_span * breakers,
                                                    size_t count);
struct llamactl_answer * llamactl_sampling_bias(struct llamactl_sampling * sampling,
                                                const llama_logit_bias * biases, size_t count);
struct llamactl_answer * llamactl_sampling_grammar(struct llamactl_sampling * sampling,
                                                   struct llamactl_span grammar);
// What the model's file says of sampling, except what was set; and never its end tokens.
struct llamactl_answer * llamactl_sampling_of_model(struct llamactl_sampling * sampling,
                                                    const struct llama_model * model,
                                                    bool ignore_eos);
// How long a model may think: see common_reasoning_budget_init.
struct llamactl_budget {
    int32_t tokens;
    struct llamactl_span start;        // the text that begins it
    const struct llamactl_span * ends; // the texts that end it, the first is the one put in
    size_t n_ends;
    struct llamactl_span message;           // put in before the end
    struct llamactl_span generation_prompt; // what the template wrote of the answer
};
struct llamactl_answer * llamactl_sampling_budget(struct llamactl_sampling * sampling,
                                                  const struct llama_vocab * vocab,
                                                  const struct llamactl_budget * budget);

// A sampler (common_sampler). NULL: `said` is what the engine says against it.
struct llamactl_sampler;
struct llamactl_sampler * llamactl_sampler_new(const struct llama_model * model,
                                               struct llamactl_sampling * sampling, char * said,
                                               size_t size);
void llamactl_sampler_free(struct llamactl_sampler * sampler);
void llamactl_sampler_reset(struct llamactl_sampler * sampler);
struct llama_sampler * llamactl_sampler_chain(const struct llamactl_sampler * sampler);
// Takes note of tokens that weren't chosen here; a grammar doesn't.
bool llamactl_sampler_accept(struct llamactl_sampler * sampler, const llama_token * tokens,
                             size_t count);
// Chooses from an output and takes note. LLAMA_TOKEN_NULL: the engine failed.
llama_token llamactl_sampler_sample(struct llamactl_sampler * sampler, struct llama_context * ctx,
                                    int index);

// A token chosen from the last output. Times are CLOCK_MONOTONIC.
struct llamactl_choice {
    int64_t before_ns;
    int64_t sampled_ns;
    int32_t token;  // LLAMA_TOKEN_NULL: the engine failed
    int32_t length; // of the piece; negative if it is longer than `piece`
    bool is_end;    // llama_vocab_is_eog
    char piece[256];
};
void llamactl_choose(struct llamactl_sampler * sampler, struct llama_context * ctx,
                     const struct llama_vocab * vocab, struct llamactl_choice * out);

#ifdef __cplusplus
}
#endif
